"""What a person may set when a run is started: pydantic models, of which Prefect's UI makes its form.

Every value is checked twice: here, by the server and by the flow, and as params.yaml, by bertline.base.params. None of
them ever reaches a shell: they are written to params.yaml as YAML, or compared with what there is.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from ruamel.yaml import YAML

from bertline.base.config import Params
from bertline.base.errors import BertlineError
from bertline.base.params import load_params, parse_params
from bertline.cli.presets import load_preset

CHECKOUT = Path(__file__).resolve().parents[1]
"""The checkout that this code lies in: the one that runs belong to."""

CURRENT = "current"
_PRESETS = sorted(path.stem for path in (CHECKOUT / "pipelines" / "presets").glob("*.yaml"))

PresetName = Annotated[
    str,
    Field(
        json_schema_extra={"enum": [CURRENT, *_PRESETS]},
        description="current: params.yaml as it stands in the checkout; otherwise a preset",
    ),
]
StageName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.@-]{1,100}$")]
ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_. -]{0,199}$")]
Version = Annotated[str, Field(pattern=r"^([1-9][0-9]{0,8})?$")]
Promotion = Literal["by the rule", "never"]

_ASSIGNMENT = r"^[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)+=[^\x00-\x1f\x7f-\x9f\u2028\u2029]{0,500}$"
_SMALL = 1_000_000


class Overrides(BaseModel):
    """Options of params.yaml to change for this run; empty: as in the preset."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pretrain_budget: int | None = Field(
        default=None, ge=1, le=10**12, title="pretrain.budget", description="how much training"
    )
    pretrain_learning_rate: float | None = Field(
        default=None, gt=0, le=1, title="pretrain.learning_rate", description="peak"
    )
    pretrain_seed: int | None = Field(
        default=None, ge=0, le=_SMALL, title="pretrain.seed", description="of everything random"
    )
    finetune_epochs: int | None = Field(
        default=None, ge=1, le=1000, title="finetune.epochs", description="for every task"
    )
    finetune_learning_rate: float | None = Field(
        default=None, gt=0, le=1, title="finetune.learning_rate", description="peak, for every task"
    )
    finetune_seed: int | None = Field(
        default=None, ge=0, le=_SMALL, title="finetune.seed", description="for every task"
    )
    more: list[Annotated[str, Field(pattern=_ASSIGNMENT)]] = Field(
        default=[],
        max_length=100,
        description="other options as KEY=VALUE: pretrain.model=mini, documents.min_sentences=3",
    )

    def assignments(self) -> list[tuple[str, Any]]:
        """(dotted key, value) pairs, the later ones having the last word."""
        named = self.model_dump(exclude={"more"}, exclude_none=True)
        pairs: list[tuple[str, Any]] = [(key.replace("_", ".", 1), value) for key, value in named.items()]
        for entry in self.more:
            key, _, text = entry.partition("=")
            pairs.append((key, _value(key, text)))
        return pairs


NO_OVERRIDES = Overrides()


def configured(checkout: Path, preset: str, overrides: Overrides, promotion: Promotion = "by the rule") -> Params:
    """The parameters of a run.

    Args:
        checkout: whose params.yaml is `current`, and whose presets there are.
        preset: `current` or the name of a preset.
        overrides: what to change of it. Options of section finetune hold for every task, also one with its own.
        promotion: `never` leaves what is registered a challenger.

    Raises:
        BertlineError: no such preset, or an unknown option or wrong value.
    """
    chosen = load_params(checkout / "params.yaml") if preset == CURRENT else load_preset(checkout, preset).params
    values = asdict(chosen)
    for key, value in overrides.assignments():
        _set(values, key.split("."), value)
        section, *option = key.split(".")
        if section == "finetune":
            for task in values["tasks"].values():
                own = task.get("finetune") if isinstance(task, Mapping) else None  # what is none, parse_params names
                if isinstance(own, dict) and option[0] in own:
                    _set(own, option, value)
    if promotion == "never":
        values["register"]["promote"] = False
    return parse_params(values, "overrides")


def _value(key: str, text: str) -> Any:
    """A value as it would read in params.yaml."""
    try:
        return YAML(typ="safe", pure=True).load(text)
    except Exception:  # beside YAMLError, whatever a text brings about: the 30th of February, 500 brackets, a tag
        fix = "Write it as in params.yaml, with quotes where YAML needs them"
        raise BertlineError(f"{text!r} is no YAML value", where=f"overrides, key {key}", fix=fix) from None


def _set(values: dict[str, Any], path: list[str], value: Any) -> None:
    at = values
    for place, part in enumerate(path[:-1]):
        below = at.get(part)
        if not isinstance(below, Mapping):
            where = f"overrides, key {'.'.join(path)}"
            names = ", ".join(at)
            raise BertlineError(f"no section {'.'.join(path[: place + 1])!r}", where=where, fix=f"There are: {names}")
        at = below  # type: ignore[assignment]
    at[path[-1]] = value
