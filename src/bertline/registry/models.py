"""The model registry: a version a content, registered under a lock, with the aliases that aliases.py moves."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Metric
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types.schema import Array, ColSpec, DataType, Object, Property, Schema

from bertline.base.errors import BertlineError, reason
from bertline.base.files import exclusive_lock
from bertline.base.register_config import Register
from bertline.inference.inputs import input_columns
from bertline.registry.aliases import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    SCORES,
    TAKEN_DOWN,
    make_champion,
    scores_of,
    version_with,
)
from bertline.registry.contenders import Contender
from bertline.registry.model_card import shortened, with_origin_of
from bertline.registry.promotion import Scores, Verdict, decide
from bertline.registry.served_code import importable, stage_code
from bertline.registry.served_model import DEFAULTS, OUTPUT_COLUMNS
from bertline.registry.store import PATIENCE, Store
from bertline.registry.versions import CONTENT, kept_tags, linked, version_of

_VERDICT = "bertline.verdict"
_CHAMPION_ALREADY = "it is the champion already"
_DESCRIPTION_CHARACTERS = 5000  # the column of MLflow's schema

_EXAMPLE = {
    "text": "Return the mean of the values along an axis.",
    "text_pair": "The mean is computed over the flattened array by default.",
    "question": "What does axis do?",
    "context": "axis: the axis along which the means are computed. The default is to use all values.",
}


@dataclass(frozen=True)
class Registration:
    """What became of a contender.

    Attributes:
        name: of the registered model.
        version: of the registered model.
        created: whether the version is new; False: this content was registered before.
        alias: champion or challenger, whichever the version ends with.
        verdict: of the promotion rule.
    """

    name: str
    version: str
    created: bool
    alias: str
    verdict: Verdict

    def __str__(self) -> str:
        made = "new" if self.created else "same content as before"
        return f"{self.name}: version {self.version} ({made}), {self.alias}: {'; '.join(self.verdict.reasons)}"


def register(
    store: Store, contender: Contender, source_run: str, lineage: Mapping[str, str], config: Register
) -> Registration:
    """Register a model, unless its content is a version already, and let the promotion rule set the aliases.

    A version that there is already is described by the new card; one whose files are gone is made anew.

    Args:
        store: the open store.
        contender: the model.
        source_run: id of the run of the stage that made it.
        lineage: tags of the pipeline run, put on a new version too.
        config: section `register`.

    Raises:
        BertlineError: the model does not load or does not answer its example.
        MlflowException: the store refused; a version is made whole or not at all.

    Two processes of a machine that register at once take turns, so that each weighs its model against the other's
    result. Of two hosts that create a version of the same content at once, the first one's stays. A registration that
    was cut short is completed by the next one with the same `source_run`.
    """
    with exclusive_lock(store.lock, f"registering {contender.name}", patience=PATIENCE):
        return _register(store, contender, source_run, lineage, config)


def _register(
    store: Store, contender: Contender, source_run: str, lineage: Mapping[str, str], config: Register
) -> Registration:
    client, name = store.client, contender.name
    version = version_of(client, name, contender.content)
    created = version is None
    if version is None:
        version = _create_version(store, contender, source_run, lineage)
    client.set_model_version_tag(name, version, SCORES, _dumped(contender.scores))
    client.set_registered_model_alias(name, CHALLENGER, version)
    champion = version_with(client, name, CHAMPION)
    rival = champion or version_with(client, name, PREVIOUS)
    verdict = decide(
        contender.scores,
        scores_of(client, name, rival),
        contender.majority,
        config,
        champion_version=rival,
        champion_gone=champion is None and rival is not None,
    )
    verdict = replace(verdict, figures={**verdict.figures, "challenger_version": version})
    known = linked(client, name, version)
    _describe_anew(client, known, contender.card, serves=champion == version)
    if champion == version:
        said = _verdict_of(known, source_run) or replace(verdict, promote=False, reasons=(_CHAMPION_ALREADY,))
        return Registration(name, version, created, CHAMPION, said)
    held = _held_back(known, config)
    if held:
        verdict = replace(verdict, promote=False, reasons=(*verdict.reasons, held))
    client.set_model_version_tag(name, version, _VERDICT, json.dumps({"run": source_run, **verdict.as_json()}))
    if verdict.promote:
        make_champion(client, name, version)
    return Registration(name, version, created, CHAMPION if verdict.promote else CHALLENGER, verdict)


def _describe_anew(client: MlflowClient, version: ModelVersion, card: str, *, serves: bool) -> None:
    """Let a version's description, and the model's where it serves, say what the card of today does.

    Carbon and lineage stay those of the registration that made the version, as its tags do: where its stage was
    restored from the cache, nobody knows how long it took.
    """
    description = _description(with_origin_of(card, version.description or ""))
    if description == version.description:
        return
    if serves:
        client.update_registered_model(version.name, description)
    client.update_model_version(version.name, str(version.version), description)  # last: cut short, it comes again


def _held_back(version: ModelVersion, config: Register) -> str:
    """Why a person decides, whatever the figures say; empty where the rule does."""
    if not config.promote:
        return "register.promote is false: a person decides"
    if TAKEN_DOWN in version.tags:  # an unchanged model comes again whenever another one of the run was made anew
        return f"a person put version {version.tags[TAKEN_DOWN]} in its place: a person brings it back"
    return ""


def _verdict_of(version: ModelVersion, source_run: str) -> Verdict | None:
    """What was decided of a version for the same run, before the registration was cut short."""
    kept = json.loads(version.tags.get(_VERDICT, "{}"))
    if kept.pop("run", None) != source_run:
        return None
    return Verdict(**kept | {"reasons": tuple(kept["reasons"])})


def _create_version(store: Store, contender: Contender, source_run: str, lineage: Mapping[str, str]) -> str:
    client, name = store.client, contender.name
    try:
        client.create_registered_model(name, description=_description(contender.card))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    logged = _log_model(store, contender, source_run)
    at = logged.creation_timestamp  # sent again, they are the same points
    points = [
        Metric(f"test/{metric}", value, at, 0, model_id=logged.model_id)
        for metric, value in contender.scores.values.items()
    ]
    client.log_batch(source_run, metrics=points)
    made: ModelVersion = client.create_model_version(
        name,
        source=logged.model_uri,
        run_id=source_run,
        # At once: the content's hash must never be missing.
        tags={**lineage, **contender.tags, **kept_tags(client, name, contender.content)},
        description=_description(contender.card),
        model_id=logged.model_id,
    )
    first = version_of(client, name, contender.content) or str(made.version)
    if first != str(made.version):  # another host, which has no lock of ours, was faster
        client.delete_model_version(name, str(made.version))
        client.delete_logged_model(logged.model_id)
    return first


def _log_model(store: Store, contender: Contender, source_run: str) -> LoggedModel:
    """Log a contender as a pyfunc model from code, with everything it needs to answer, after trying it."""
    client = store.client
    # Not by MLflow's log_model: that puts the model into its current experiment, and only warns when it cannot answer.
    model = _begun_model(store, contender, source_run)
    try:
        with TemporaryDirectory() as scratch:
            client.log_model_artifacts(model.model_id, str(_save_model(Path(scratch), contender, model)))
    except BertlineError:
        client.finalize_logged_model(model.model_id, LoggedModelStatus.FAILED)
        raise
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    outputs = client.get_run(source_run).outputs
    if model.model_id not in [one.model_id for one in (outputs.model_outputs if outputs else [])]:
        client.log_outputs(source_run, [LoggedModelOutput(model.model_id, step=0)])
    return model


def _begun_model(store: Store, contender: Contender, source_run: str) -> LoggedModel:
    """The logged model of a registration that was cut short, or a new one."""
    asked = f"name = '{contender.name}' and source_run_id = '{source_run}'"
    for model in store.client.search_logged_models([store.experiment_id], asked):
        if model.tags.get(CONTENT) == contender.content:
            return model
    return store.client.create_logged_model(store.experiment_id, contender.name, source_run, dict(contender.tags))


def _save_model(scratch: Path, contender: Contender, logged: LoggedModel) -> Path:
    """Write the MLflow model into a new directory under `scratch`, load it as an application would, and try it."""
    path, card, code = scratch / "model", scratch / "README.md", stage_code(scratch / "code")
    card.write_text(contender.card, encoding="utf-8")
    example = _example(contender.kind, contender.pair)
    with importable(code):
        mlflow.pyfunc.save_model(
            path=str(path),
            mlflow_model=Model(
                artifact_path=logged.artifact_location,
                run_id=logged.source_run_id,
                model_uuid=logged.model_id,
                model_id=logged.model_id,
            ),
            python_model=str(code.entry),
            artifacts={"hf": str(contender.directory.resolve()), "model_card": str(card)},
            code_paths=[str(code.package)],
            signature=_signature_of(contender.kind, contender.pair),
            input_example=example,
            pip_requirements=list(code.requirements),
            model_config=DEFAULTS,
        )
        try:
            mlflow.pyfunc.load_model(str(path)).predict(example)
        except Exception as error:  # whatever the model's own code raises
            problem = reason(error)
            fix = f"Make it anew: dvc repro -f -s {contender.stage}"
            raise BertlineError(f"does not answer ({problem})", where=str(contender.directory), fix=fix) from error
    return path


def _signature_of(kind: str, pair: bool) -> ModelSignature:
    """Columns in and out of a kind of model, with types."""
    text, number, score = DataType.string, DataType.long, DataType.double
    entity = {"text": text, "type": text, "start": number, "end": number}
    fill = {"mask": number, "token": text, "score": score, "text": text}
    types: dict[str, DataType | Array] = {
        "label": text,
        "answer": text,
        "start": number,
        "end": number,
        "score": score,
        "value": score,
        "entities": _list_of(entity),
        "embedding": Array(score),
        "fills": _list_of(fill),
    }
    inputs = Schema([ColSpec(text, name) for name in _columns_in(kind, pair)])
    return ModelSignature(inputs, Schema([ColSpec(types[name], name) for name in OUTPUT_COLUMNS[kind]]))


def _columns_in(kind: str, pair: bool) -> tuple[str, ...]:
    """The columns that a request to a kind of model must have; of tagging a text, which is to be split into words."""
    return ("text",) if kind == "tagging" else input_columns(kind, pair)


def _list_of(fields: Mapping[str, DataType]) -> Array:
    return Array(Object([Property(name, kind) for name, kind in fields.items()]))


def _example(kind: str, pair: bool) -> pd.DataFrame:
    columns = _columns_in(kind, pair)
    row = {column: _EXAMPLE[column] for column in columns}
    if kind == "fill-mask":
        row["text"] = row["text"].replace("mean", "[MASK]")
    return pd.DataFrame([row])


def _dumped(scores: Scores) -> str:
    return json.dumps(asdict(scores), sort_keys=True)


def _description(card: str) -> str:
    """The card as MLflow shows it: without its YAML head, which is for the Hugging Face Hub, and of bounded length."""
    text = card.split("\n---\n", maxsplit=1)[-1].lstrip()
    return shortened(text, _DESCRIPTION_CHARACTERS)
