"""What the registry decided about the models of a pipeline run, and which versions serve, as a page for people."""

from collections.abc import Iterator, Mapping
from typing import Any

from mlflow import MlflowClient
from mlflow.artifacts import load_dict

from bertline.base.artifacts import Artifacts
from bertline.base.register_config import Register
from bertline.registry.address import sqlite_file, store_uri
from bertline.registry.aliases import CHALLENGER, CHAMPION, PREVIOUS, scores_of, version_with
from bertline.registry.lineage import FLOW_RUN
from bertline.registry.store import Store, open_store

_VERDICTS = "verdicts"


def describe(artifacts: Artifacts, config: Register, flow_run: str) -> str:
    """The verdicts of a run and the state of the registry, in Markdown.

    Args:
        artifacts: the checkout, where the store is unless MLFLOW_TRACKING_URI says another.
        config: section `register` of the run: experiment and prefix.
        flow_run: id of the Prefect flow run whose verdicts are wanted; empty: it has none.

    Raises:
        BertlineError: the store cannot be reached.
    """
    database = sqlite_file(store_uri(artifacts.root))
    if database and not database.is_file():  # to make one, and say that it is empty, would take seconds
        return f"This run registered nothing, and nothing was registered before.\n\nMLflow store: none at {database}"
    with open_store(artifacts, config.experiment if flow_run else "") as store:
        found = dict(_verdicts(store, flow_run)) if flow_run else {}
        lines = ["| model | champion | challenger | previous champion | this run |", "|---|---|---|---|---|"]
        start = config.model_name("")  # of every name
        near = store.client.search_registered_models(f"name LIKE '{start}%'")  # _ of a prefix stands for any sign
        for model in [model for model in near if model.name.startswith(start)]:
            serving = [_version(store.client, model.name, alias) for alias in (CHAMPION, CHALLENGER, PREVIOUS)]
            lines.append(f"| {' | '.join([model.name, *serving, _decision(found.get(model.name))])} |")
        nothing = [] if found else ["", "This run registered nothing."]
        return "\n".join([*lines, *nothing, "", f"MLflow store: {store.address}"])


def _verdicts(store: Store, flow_run: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Model -> verdict.json of the newest pipeline run of a flow run."""
    client = store.client
    newest = client.search_runs(
        [store.experiment_id],
        f"tags.`{FLOW_RUN}` = '{flow_run}'",
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    for run in newest:
        for folder in client.list_artifacts(run.info.run_id, _VERDICTS):
            yield folder.path.rpartition("/")[2], load_dict(f"{run.info.artifact_uri}/{folder.path}/verdict.json")


def _version(client: MlflowClient, name: str, alias: str) -> str:
    version = version_with(client, name, alias)
    scores = scores_of(client, name, version)
    return f"{version} ({scores})" if scores else version or ""


def _decision(verdict: Mapping[str, Any] | None) -> str:
    if verdict is None:
        return "not registered by this run"
    return f"{'**promoted**' if verdict['promote'] else 'not promoted'}: {'; '.join(verdict['reasons'])}"
