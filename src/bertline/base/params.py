"""params.yaml: read and validated before any work, and written by presets.

The file is YAML 1.2, as DVC reads it (1e-3 is a number). What is wrong with it is said with file, key, value and fix.
"""

import dataclasses
import difflib
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from bertline.base.builders import FILES, KINDS
from bertline.base.config import Finetune, Params, Task
from bertline.base.errors import BertlineError, masked, printable, reason
from bertline.base.files import write_text
from bertline.base.register_config import ENCODER

_WIDTH = 4096
_TASK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_LARGE = 100.0  # from here on, whole numbers are written without .0
_DEEPEST, _MOST_ENTRIES = 16, 1_000_000  # of a params.yaml: no option lies deeper than six, and none has so many
_OPTIONS = "src/bertline/base/config.py or a *_config.py beside it"  # params.yaml leaves the rare ones out


def load_params(path: Path) -> Params:
    """Read and validate a params.yaml.

    Raises:
        BertlineError: the file is missing, is not YAML, or holds a wrong key or value.
    """
    return parse_params(read_yaml(path), str(path))


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping; an empty file is an empty mapping."""
    try:
        value = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        fix = "Run in a checkout of the project, or write it with `bertline preset use quickstart`"
        raise BertlineError("file not found", where=str(path), fix=fix) from None
    except (YAMLError, ValueError, RecursionError) as error:  # beside YAML's own: no UTF-8, the 30th of February, […]
        raise BertlineError(f"not valid YAML ({reason(error)})", where=str(path), fix="Correct the line") from None
    if not isinstance(value, dict | None):
        raise BertlineError("not a mapping of sections", where=str(path), fix="Write `section:` and its options")
    return value or {}


def parse_params(value: Mapping[str, Any], where: str) -> Params:
    """Validate a mapping as Params; `where` names its file in messages.

    Raises:
        BertlineError: a wrong key or value; what cannot name a task; a password or token, anywhere.
    """
    _check_entries(value, where)
    try:  # as JSON: there, strict mode still makes dataclasses out of mappings
        params = TypeAdapter(Params).validate_json(json.dumps(value, default=str))
    except ValidationError as error:
        raise _explain(error, where, Params, "") from None
    for name, task in params.tasks.items():
        _check_task_name(name, f"{where}, key tasks.{name}")
        _check_builder(task, f"{where}, key tasks.{name}")
        _check_overrides(params.finetune, task.finetune, where, f"tasks.{name}.finetune.")
        recipe = params.finetune_for(name)
        if task.kind == "span" and recipe.stride >= recipe.max_length:
            what = f"must be below max_length ({recipe.max_length}), or windows would never advance"
            key = f"{where}, key tasks.{name}.finetune.stride"
            raise BertlineError(what, where=key, fix="Lower stride or raise max_length")
    _check_transfers(params, where)
    return params


def flat(options: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Options under their dotted keys: {"a": {"b": 1}} -> {"a.b": 1}."""
    found: dict[str, Any] = {}
    for key, below in options.items():
        found |= flat(below, f"{prefix}{key}.") if isinstance(below, Mapping) else {f"{prefix}{key}": below}
    return found


def _check_task_name(name: str, key: str) -> None:
    """Refuse at once what a command line, the forms of the UI or the registry would refuse, maybe after training."""
    what, fix = f"{name!r} cannot name a task", "Use a-z, A-Z, 0-9, - and _ (64 at most), begin with a letter or digit"
    if name == ENCODER:
        what, fix = f"{what}: it is the pre-trained model's name in the registry", "Give the task another name"
    if name == ENCODER or not _TASK_NAME.fullmatch(name):
        raise BertlineError(what, where=key, fix=fix)


def _check_builder(task: Task, key: str) -> None:
    """Refuse a builder that there is not, or of another kind: before a corpus is fetched that may be large."""
    builder = task.data.builder
    if builder == FILES:
        return
    if builder not in KINDS:
        close = difflib.get_close_matches(builder, KINDS, n=1)
        fix = (f"Did you mean {close[0]}? " if close else "") + f"Builders are: {', '.join((FILES, *KINDS))}"
        raise BertlineError(f"no builder named {builder!r}", where=f"{key}.data.builder", fix=fix)
    if task.kind != KINDS[builder]:
        what = f"builder {builder} makes rows of kind {KINDS[builder]}, not {task.kind}"
        raise BertlineError(what, where=f"{key}.kind", fix=f"Write kind: {KINDS[builder]}")


def _check_transfers(params: Params, where: str) -> None:
    for task, other in params.transfer.items():
        key = f"{where}, key transfer.{task}"
        for name in (task, other):
            if name not in params.tasks:
                fix = f"Choose from the tasks: {', '.join(params.tasks) or 'none is defined'}"
                raise BertlineError(f"no task named {name!r}", where=key, fix=fix)
        if task == other:
            raise BertlineError("a task cannot start from itself", where=key, fix="Name another task")


def _check_entries(value: Any, where: str) -> None:
    """Refuse names that are no text, as YAML reads dates and true, secrets, and what has no end, as `&a [*a]`.

    The file is committed, and shown in reports, in Prefect and in MLflow.
    """
    left: list[tuple[tuple[str, ...], Any]] = [((), value)]
    count = 0
    while left:
        path, value = left.pop()
        count += 1
        if len(path) > _DEEPEST or count > _MOST_ENTRIES:
            what = "too many entries, or entries in entries; an alias of YAML (*) may repeat them"
            raise BertlineError(what, where=f"{where}, key {'.'.join(path[:3])}", fix="Write it without the alias")
        if isinstance(value, str) and masked(value) != value:
            what = "an address with a password or token, in a file that is committed and shown"
            fix = "Take it out: passwords of servers are read from ~/.netrc, the Hub's token from HF_TOKEN"
            raise BertlineError(what, where=f"{where}, key {'.'.join(path)}", fix=fix)
        if isinstance(value, Mapping):
            _check_names(value, where, path)
            left += [((*path, str(name)), item) for name, item in reversed([*value.items()])]
        elif isinstance(value, list):
            left += [((*path, str(place)), item) for place, item in reversed([*enumerate(value)])]


def _check_names(value: Mapping[Any, Any], where: str, path: tuple[str, ...]) -> None:
    for name in value:
        # A file may be called 2024. DVC makes no stages for a task that YAML reads as a number.
        digits = type(name) is int and path[:1] not in (("tasks",), ("transfer",))
        if not isinstance(name, str) and not digits:
            named = f"{where}, key {'.'.join((*path, str(name)))}"
            raise BertlineError(f"the name {name} is not read as text", where=named, fix="Put it in quotes")


def _check_overrides(base: Finetune, overrides: Mapping[str, Any], where: str, prefix: str) -> None:
    try:
        TypeAdapter(Finetune).validate_json(json.dumps(dataclasses.asdict(base) | dict(overrides), default=str))
    except ValidationError as error:
        raise _explain(error, where, Finetune, prefix) from None


def _explain(error: ValidationError, where: str, root: type, prefix: str) -> BertlineError:
    first = error.errors(include_url=False)[0]
    path = [str(part) for part in first["loc"]]
    message, fix = first["msg"], f"Correct it; what it means stands in {_OPTIONS}"
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        close = difflib.get_close_matches(path[-1], _options(root, path[:-1]), n=1)
        message = "unknown option"
        fix = f"Did you mean {close[0]!r}" if close else f"Remove it; all options stand in {_OPTIONS}"
    elif first["type"] == "value_error":
        key, _, reason = str(first["ctx"]["error"]).partition(": ")
        path, message = [*path, key], reason
    else:
        message = f"{message}, not {first['input']!r}"
    return BertlineError(message, where=f"{where}, key {prefix}{'.'.join(path)}", fix=fix)


def _options(kind: Any, path: list[str]) -> list[str]:
    """The names of the options at `path` under a section class, for suggestions."""
    for part in path:
        contained = get_origin(kind) in (dict, list)
        kind = get_args(kind)[-1] if contained else get_type_hints(kind).get(part)
    return [item.name for item in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []


def render_params(params: Params, heading: str) -> str:
    """params.yaml as text: the options, each with its meaning as a comment, less the rare ones at their defaults.

    Reads back to the same Params.
    """
    root = _commented(params)
    if heading:
        root.yaml_set_start_comment(printable(heading))  # the values of a run stand in it, with any sign
    for section in root:
        kind = type(getattr(params, section))
        title = (kind.__doc__ or "").strip() if dataclasses.is_dataclass(kind) else ""
        meaning = Params.__dataclass_fields__[section].metadata["meaning"]
        root.yaml_set_comment_before_after_key(section, before=f"\n{title or meaning}")
    yaml = YAML()
    yaml.width = _WIDTH
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = io.StringIO()
    yaml.dump(root, stream)
    return stream.getvalue()


def _commented(section: Any, *, explain: bool = True) -> CommentedMap:
    made = CommentedMap()
    for item in dataclasses.fields(section):
        value = getattr(section, item.name)
        if item.metadata["rare"] and value == item.metadata["standard"]:
            continue
        made[item.name] = _plain(value, explain)
        if explain and item.metadata["meaning"] and not isinstance(made[item.name], CommentedMap | list):
            made.yaml_add_eol_comment(item.metadata["meaning"], item.name)
    return made


def _plain(value: Any, explain: bool) -> Any:
    """Mappings and lists of sections explain their options once, in the first entry."""
    if dataclasses.is_dataclass(value):
        return _commented(value, explain=explain)
    if isinstance(value, dict):
        entries = enumerate(value.items())
        return CommentedMap((key, _plain(item, explain and place == 0)) for place, (key, item) in entries)
    if isinstance(value, list):
        return [_plain(item, explain and place == 0) for place, item in enumerate(value)]
    if isinstance(value, float) and value.is_integer() and value >= _LARGE:
        return int(value)  # a budget of 6000 steps, as people write it
    return value


def write_params(path: Path, params: Params, heading: str) -> None:
    """Write params.yaml atomically."""
    write_text(path, render_params(params, heading))
