"""The flows that move the champion by hand: promote, and rollback in one call."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from prefect import State, flow
from prefect.states import Completed, Failed

from bertline.base.artifacts import Artifacts
from bertline.base.errors import BertlineError, one_line
from bertline.base.params import load_params
from pipelines import show
from pipelines.settings import CHECKOUT, ModelName, Version

if TYPE_CHECKING:
    from bertline.registry.aliases import Change
    from bertline.registry.store import Store


@flow(name="promote", persist_result=False)
def promote(model: ModelName, version: Version = "") -> State[Any]:
    """Make a registered version the champion, whatever the promotion rule says of it.

    Args:
        model: a task (docs_topic), `encoder`, or a registered model's whole name.
        version: which version; empty: the challenger.
    """
    from bertline.registry import aliases  # noqa: PLC0415  (mlflow takes seconds)

    return _shown(model, lambda store, name: aliases.promote(store, name, version))


@flow(name="rollback", persist_result=False)
def rollback(model: ModelName) -> State[Any]:
    """Make the champion before this one the champion again; a second rollback takes the first one back.

    Args:
        model: a task (docs_topic), `encoder`, or a registered model's whole name.
    """
    from bertline.registry import aliases  # noqa: PLC0415

    return _shown(model, aliases.rollback)


def _shown(model: str, change: Callable[["Store", str], "Change"]) -> State[Any]:
    from bertline.registry.aliases import move  # noqa: PLC0415
    from bertline.registry.decisions import describe  # noqa: PLC0415

    artifacts = Artifacts(CHECKOUT)
    try:
        done = move(artifacts, model, change)
    except (BertlineError, OSError) as error:
        return Failed(message=one_line(error))
    with show.harmless("registry"):  # Retry of a rollback that is done would take it back
        show.decisions(describe(artifacts, load_params(artifacts.params).register, ""))
    return Completed(message=str(done))
