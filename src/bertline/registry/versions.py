"""Which version of a registered model holds a content, and what is left of it once people have cleaned up MLflow.

A version's files are those of a logged model. People delete logged models, or the experiment they lie in, and
`mlflow gc` then deletes the files; the version stays, though nothing loads from it any more.
"""

import json
from collections.abc import Iterator

from mlflow import MlflowClient
from mlflow.artifacts import list_artifacts
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from bertline.registry.aliases import TAKEN_DOWN

CONTENT = "bertline.content.sha256"
"""Tag of a version and of its logged model: the hash of the model's directory."""


def version_of(client: MlflowClient, name: str, content: str) -> str | None:
    """The version that holds a content (the first, while two hosts have each made one), or None.

    One without its files holds nothing.
    """
    numbers = [int(one.version) for one in _tagged(client, name, content) if _has_files(client, one)]
    return str(min(numbers)) if numbers else None


def kept_tags(client: MlflowClient, name: str, content: str) -> dict[str, str]:
    """What a version that is made anew takes over of the last one with its content: that a person took it down."""
    last = max(_tagged(client, name, content), key=lambda one: int(one.version), default=None)
    return {TAKEN_DOWN: last.tags[TAKEN_DOWN]} if last and TAKEN_DOWN in last.tags else {}


def linked(client: MlflowClient, name: str, version: str) -> ModelVersion:
    """A version, after its logged model was told of it: MLflow's UI goes by that, and nothing else does."""
    found: ModelVersion = client.get_model_version(name, version)
    model = str(found.source).removeprefix("models:/")
    try:
        client.get_logged_model(model)  # set_logged_model_tags calls every fault of this a wrong parameter
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return found  # it was deleted; the version loads without it
    client.set_logged_model_tags(model, {MLFLOW_MODEL_VERSIONS: json.dumps([{"name": name, "version": version}])})
    return found


def _tagged(client: MlflowClient, name: str, content: str) -> Iterator[ModelVersion]:
    yield from client.search_model_versions(f"name = '{name}' and tags.`{CONTENT}` = '{content}'")


def _has_files(client: MlflowClient, version: ModelVersion) -> bool:
    """Whether a version loads, as far as a listing shows. A place that cannot be listed is a fault, not a loss."""
    place = client.get_model_version_download_uri(version.name, str(version.version))
    try:
        return any(file.path.rpartition("/")[2] == "MLmodel" for file in list_artifacts(artifact_uri=place))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False
