"""Stage register: log the pipeline run to MLflow and register its models.

Reads the models, the gate reports and the metrics; writes data/registry/registered.json, which holds only what
follows from them: content hashes, scores and whether each model passes the floor. Which version became the champion
depends on the registry, and stands there and in the run's verdict.json files.
"""

import os
import sys
from typing import Any

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.files import write_json
from bertline.base.messages import say
from bertline.base.stage import main
from bertline.registry.contenders import Contender, contenders
from bertline.registry.models import register
from bertline.registry.promotion import beats_floor
from bertline.registry.store import open_store
from bertline.registry.tracking import pipeline_run


def run(params: Params, artifacts: Artifacts) -> dict[str, Any]:
    """Log the pipeline run to MLflow and register its models; champions change by the promotion rule."""
    # MLflow prints the address of the server at the end of each run, with its password; the last line below has it.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    config = params.register
    described: dict[str, Any] = {}
    with open_store(artifacts, config.experiment) as store, pipeline_run(store, params, artifacts) as pipeline:
        for contender in contenders(params, artifacts, pipeline.tags):
            client, name = store.client, contender.name
            client.log_text(pipeline.run_id, contender.card, f"model_cards/{name}.md")
            source_run = pipeline.stages.get(contender.stage, pipeline.run_id)
            registration = register(store, contender, source_run, pipeline.tags, config)
            client.log_dict(pipeline.run_id, registration.verdict.as_json(), f"verdicts/{name}/verdict.json")
            described[name] = _describe(contender, params)
            say(str(registration), sys.stdout)
        say(f"MLflow run {pipeline.run_id} in {store.address}", sys.stdout)
    registered = {
        "models": described,
        "registered": len(described),
        "passed_the_floor": sum(model["passes_floor"] for model in described.values()),
    }
    write_json(artifacts.registered, registered)
    return registered


def _describe(contender: Contender, params: Params) -> dict[str, Any]:
    return {
        "kind": contender.kind,
        "content_sha256": contender.content,
        "scores": dict(contender.scores.values),
        "metric": contender.scores.metric,
        "majority": contender.majority.get(contender.scores.metric),
        "passes_floor": beats_floor(contender.scores, contender.majority, params.register),
    }


if __name__ == "__main__":
    main(run)
