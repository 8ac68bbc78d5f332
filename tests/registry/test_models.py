"""The registry: a version a content, and aliases that move as the rule says."""

import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlflow
import pytest
from click.testing import CliRunner
from mlflow.cli import gc
from mlflow.entities import LoggedModelStatus
from mlflow.exceptions import MlflowException

from bertline.base.artifacts import Artifacts
from bertline.base.errors import BertlineError
from bertline.base.files import write_json, write_text
from bertline.base.register_config import Register
from bertline.registry.aliases import TAKEN_DOWN, promote, rollback, scores_of
from bertline.registry.contenders import contenders
from bertline.registry.models import Registration, register
from bertline.registry.store import Store, open_store
from bertline.registry.versions import kept_tags
from registry.pipeline_state import some_params, write_finetuned, write_scores

TOPIC = some_params("topic")
NAME = "bertline-topic"


@dataclass
class Bench:
    """Registers the model of `topic` as it now stands on disk."""

    artifacts: Artifacts
    store: Store
    run_id: str

    def register(
        self, *, seed: int = 1, primary: float = 0.8, rows: int = 4, config: Register = TOPIC.register
    ) -> Registration:
        write_finetuned(self.artifacts, "topic", seed)
        write_scores(self.artifacts, "topic", primary, rows=rows)
        contender = next(contenders(TOPIC, self.artifacts, {}))
        return register(self.store, contender, self.run_id, {"git.commit": "abc"}, config)

    @property
    def aliases(self) -> dict[str, str]:
        return {alias: str(version) for alias, version in self.store.client.get_registered_model(NAME).aliases.items()}

    @property
    def versions(self) -> list[Any]:
        return sorted(self.store.client.search_model_versions(f"name = '{NAME}'"), key=lambda one: int(one.version))


@pytest.fixture
def bench(artifacts: Artifacts) -> Iterator[Bench]:
    with open_store(artifacts, "bertline") as store:
        yield Bench(artifacts, store, store.client.create_run(store.experiment_id).info.run_id)


def test_the_same_content_twice_is_one_version(bench: Bench) -> None:
    first, again = bench.register(), bench.register()
    assert again.verdict == first.verdict, "the same run: what was cut short is completed, and said once more"
    bench.run_id = bench.store.client.create_run(bench.store.experiment_id).info.run_id
    second = bench.register()
    assert (first.created, second.created) == (True, False)
    assert first.version == second.version == "1"
    assert len(bench.versions) == 1
    assert "already" in str(second)


def test_a_first_model_above_the_floor_is_champion(bench: Bench) -> None:
    assert bench.register().alias == "champion"
    assert bench.aliases == {"challenger": "1", "champion": "1"}


def test_a_model_below_the_floor_stays_challenger(bench: Bench) -> None:
    registration = bench.register(primary=0.59)
    assert registration.alias == "challenger"
    assert "failed" in str(registration)
    assert bench.aliases == {"challenger": "1"}


def test_a_better_model_takes_over_and_the_last_one_is_kept(bench: Bench) -> None:
    bench.register(seed=1)
    bench.register(seed=2, primary=0.85)
    assert bench.aliases == {"challenger": "2", "champion": "2", "previous_champion": "1"}


def test_a_worse_model_does_not(bench: Bench) -> None:
    bench.register(seed=1)
    bench.register(seed=2, primary=0.75)
    assert bench.aliases == {"challenger": "2", "champion": "1"}
    assert bench.register(seed=1).version == "1"  # the old content again: still one version, still champion
    assert bench.aliases == {"challenger": "1", "champion": "1"}


def test_a_champion_is_compared_by_its_latest_scores(bench: Bench) -> None:
    bench.register(seed=1, primary=0.7)
    bench.register(seed=1, primary=0.9)  # the same content, evaluated anew
    assert bench.register(seed=2, primary=0.8).alias == "challenger"


def test_other_test_rows_are_said_and_not_compared(bench: Bench) -> None:
    bench.register(seed=1, primary=0.9)
    registration = bench.register(seed=2, primary=0.7, rows=5)
    assert registration.alias == "champion"
    assert "measured on other data" in str(registration)


def test_a_version_tells_where_it_comes_from(bench: Bench) -> None:
    bench.register()
    (version,) = bench.versions
    content = next(contenders(TOPIC, bench.artifacts, {})).content
    assert version.tags["bertline.content.sha256"] == content
    assert version.tags["git.commit"] == "abc"
    assert version.run_id == bench.run_id
    assert version.description.startswith("# bertline-topic"), "the YAML head is for the Hugging Face Hub"
    model = bench.store.client.get_logged_model(version.source.removeprefix("models:/"))
    assert model.experiment_id == bench.store.experiment_id
    assert {metric.key: metric.value for metric in model.metrics}["test/accuracy"] == 0.8
    assert bench.store.client.get_registered_model(NAME).description == version.description


def test_a_known_version_is_described_by_the_card_of_today_and_keeps_where_it_came_from(bench: Bench) -> None:
    """A licence that was corrected reaches what is registered; another machine does not know what training emitted."""
    write_json(bench.artifacts.runs / "stages" / "finetune@topic.json", {"seconds": 3600.0})
    bench.register()
    bench.register(seed=2, primary=0.9)
    assert "Of the texts it was trained on: see the manifest of the run." in bench.versions[1].description
    (bench.artifacts.runs / "stages" / "finetune@topic.json").unlink()
    write_json(bench.artifacts.raw / "manifest.json", {"sources": [{"address": "a", "sha256": "b", "licence": "CC0"}]})
    assert not bench.register(seed=2, primary=0.9).created
    first, second = bench.versions
    assert "Of the texts it was trained on: CC0." in second.description
    assert "About 14 g of CO2" in second.description
    assert f"- content sha256: `{second.tags['bertline.content.sha256']}`" in second.description
    assert "CC0" not in first.description, "it was not registered again"
    assert bench.store.client.get_registered_model(NAME).description == second.description
    bench.register(seed=1, primary=0.8)
    assert "CC0" in bench.versions[0].description
    assert bench.store.client.get_registered_model(NAME).description == second.description, "that of the champion"


def test_a_card_too_long_for_the_store_keeps_where_its_model_came_from(bench: Bench) -> None:
    write_json(bench.artifacts.runs / "stages" / "finetune@topic.json", {"seconds": 3600.0})
    for licence in ("CC0", "CC-BY"):
        sources = [{"address": "a", "sha256": "b", "licence": f"{licence} {'x' * 6000}"}]
        write_json(bench.artifacts.raw / "manifest.json", {"sources": sources})
        bench.register()
        (version,) = bench.versions
        assert len(version.description) <= 5000
        assert licence in version.description
        assert "About 14 g of CO2" in version.description
        assert f"- content sha256: `{version.tags['bertline.content.sha256']}`" in version.description
        (bench.artifacts.runs / "stages" / "finetune@topic.json").unlink(missing_ok=True)


def test_a_registration_that_fails_leaves_no_version_behind(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise MlflowException("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, "log_model_artifacts", refuse)
        with pytest.raises(MlflowException, match="disk is full"):
            bench.register()
    assert bench.versions == []
    assert bench.register().created


def test_a_missing_report_is_named(artifacts: Artifacts) -> None:
    artifacts.metrics("evaluate", "topic").unlink()
    with pytest.raises(BertlineError, match=r"reports/evaluate/topic/metrics\.json: file not found"):
        list(contenders(TOPIC, artifacts, {}))


def test_a_broken_model_is_refused_before_it_is_a_version(bench: Bench) -> None:
    write_finetuned(bench.artifacts, "topic", seed=1)
    write_text(bench.artifacts.finetuned("topic") / "model.safetensors", "not weights")
    contender = next(contenders(TOPIC, bench.artifacts, {}))
    with pytest.raises(BertlineError, match=r"topic: does not answer .*safetensors.*dvc repro -f -s finetune@topic"):
        register(bench.store, contender, bench.run_id, {}, TOPIC.register)
    assert bench.versions == []
    (model,) = bench.store.client.search_logged_models([bench.store.experiment_id])
    assert model.status == LoggedModelStatus.FAILED


def test_where_people_decide_a_model_stays_a_challenger(bench: Bench) -> None:
    asked = replace(TOPIC.register, promote=False)
    registration = bench.register(config=asked)
    assert registration.alias == "challenger"
    assert registration.verdict.reasons[-1] == "register.promote is false: a person decides"
    assert bench.aliases == {"challenger": "1"}


def test_what_a_person_took_down_comes_back_by_a_person_alone(bench: Bench) -> None:
    """The next registration brings the same content again when any other task was trained anew."""
    bench.register(seed=1)
    bench.register(seed=2, primary=0.9)
    rollback(bench.store, NAME)
    again = bench.register(seed=2, primary=0.9)
    assert (again.alias, again.verdict.promote) == ("challenger", False)
    assert again.verdict.reasons[-1].startswith("a person put version 1 in its place")
    assert bench.aliases == {"challenger": "2", "champion": "1", "previous_champion": "2"}
    assert bench.register(seed=3, primary=0.95).alias == "champion", "a new model is weighed as ever"
    assert bench.register(seed=2, primary=0.99).alias == "challenger"
    promote(bench.store, NAME, "2")
    bench.register(seed=4, primary=1.0)
    assert bench.register(seed=2, primary=1.0).alias == "champion", "a person brought it back"


def test_a_version_that_a_person_put_another_before_stays_down(bench: Bench) -> None:
    bench.register(seed=1)
    bench.register(seed=2, primary=0.9)
    promote(bench.store, NAME, "1")
    assert bench.register(seed=2, primary=0.9).alias == "challenger"
    assert bench.aliases["champion"] == "1"


def test_a_champion_that_a_person_made_stays_until_a_person_decides(bench: Bench) -> None:
    """Nobody knows what it scores: it is not "no champion yet"."""
    client = bench.store.client
    bench.register(seed=1)
    client.create_model_version(NAME, bench.versions[0].source)
    client.set_registered_model_alias(NAME, "champion", "2")
    waits = bench.register(seed=2, primary=0.9)
    assert (waits.alias, waits.verdict.promote) == ("challenger", False)
    told = "the score of the champion, version 2, is unknown: a person decides (`bertline promote`)"
    assert waits.verdict.reasons[-1] == told
    assert waits.verdict.as_json()["figures"]["champion_version"] == "2"
    assert bench.aliases == {"challenger": "3", "champion": "2"}
    promote(bench.store, NAME)
    assert bench.register(seed=3, primary=0.95).alias == "champion", "by the rule again"


@pytest.mark.parametrize("version_too", [False, True])
def test_after_the_champion_was_deleted_the_one_before_it_is_the_bar(version_too: bool, bench: Bench) -> None:
    """What served before is still there, and better than what passes the floor alone."""
    bench.register(seed=1, primary=0.8)
    bench.register(seed=2, primary=0.9)
    if version_too:
        bench.store.client.delete_model_version(NAME, "2")
    else:
        bench.store.client.delete_registered_model_alias(NAME, "champion")
    worse = bench.register(seed=3, primary=0.7)
    assert (worse.alias, worse.verdict.promote) == ("challenger", False)
    assert "the champion is gone, version 1 was it before: -0.1000 from" in str(worse)
    assert "champion" not in bench.aliases
    assert bench.register(seed=4, primary=0.85).alias == "champion"


def test_a_version_whose_logged_model_was_deleted_is_registered_as_before(bench: Bench) -> None:
    """Its files are there, and it loads: only a tag for MLflow's UI has nowhere to go."""
    bench.register()
    bench.store.client.delete_logged_model(bench.versions[0].source.removeprefix("models:/"))
    bench.run_id = bench.store.client.create_run(bench.store.experiment_id).info.run_id
    again = bench.register()
    assert (again.version, again.created, again.alias) == ("1", False, "champion")
    assert mlflow.pyfunc.load_model(f"models:/{NAME}@champion").input_example is not None


def collect_garbage(bench: Bench, version: Any) -> None:
    """Delete the files of a version as `mlflow gc` does."""
    model = version.source.removeprefix("models:/")
    bench.store.client.delete_logged_model(model)
    command = ["--backend-store-uri", bench.store.uri, "--logged-model-ids", model]
    assert CliRunner().invoke(gc, command, catch_exceptions=False).exit_code == 0


def test_a_version_whose_files_are_gone_is_made_anew(bench: Bench) -> None:
    bench.register(seed=1)
    bench.register(seed=2, primary=0.9)
    collect_garbage(bench, bench.versions[1])
    again = bench.register(seed=2, primary=0.9)
    assert (again.version, again.created, again.alias) == ("3", True, "champion")
    loaded = mlflow.pyfunc.load_model(f"models:/{NAME}@champion")
    assert len(loaded.predict(loaded.input_example)) == 1
    assert bench.register(seed=2, primary=0.9).version == "3"


def test_a_version_that_a_person_took_down_and_whose_files_are_gone_stays_down(bench: Bench) -> None:
    bench.register(seed=1)
    bench.register(seed=2, primary=0.9)
    rollback(bench.store, NAME)
    collect_garbage(bench, bench.versions[1])
    again = bench.register(seed=2, primary=0.9)
    assert (again.version, again.created, again.alias) == ("3", True, "challenger")
    assert again.verdict.reasons[-1].startswith("a person put version 1 in its place")


def test_of_two_versions_that_two_hosts_have_made_of_a_content_the_first_counts(bench: Bench) -> None:
    bench.register()
    (first,) = bench.versions
    content = {"bertline.content.sha256": first.tags["bertline.content.sha256"]}
    bench.store.client.create_model_version(NAME, first.source, tags=content)
    assert bench.register().version == "1"


def test_a_version_that_is_made_anew_takes_over_of_the_last_one_alone(bench: Bench) -> None:
    bench.register()
    (first,) = bench.versions
    content = first.tags["bertline.content.sha256"]
    bench.store.client.set_model_version_tag(NAME, "1", TAKEN_DOWN, "7")
    assert kept_tags(bench.store.client, NAME, content) == {TAKEN_DOWN: "7"}
    bench.store.client.create_model_version(NAME, first.source, tags={"bertline.content.sha256": content})
    assert kept_tags(bench.store.client, NAME, content) == {}, "a person brought it back"


def test_two_processes_that_register_at_once_take_turns(bench: Bench) -> None:
    """Both models are better than the champion; the one that comes second is weighed against the first."""
    bench.register(seed=1, primary=0.7)
    made: list[Registration] = []
    copies = [shutil.copytree(bench.artifacts.root, bench.artifacts.root.with_name(f"copy{n}")) for n in range(2)]

    def go(number: int, root: Path) -> None:
        own = replace(bench, artifacts=Artifacts(root))
        made.append(own.register(seed=2 + number, primary=(0.8, 0.9)[number]))

    threads = [threading.Thread(target=go, args=item) for item in enumerate(copies)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    last = bench.aliases["champion"]
    scores = {str(one.version): scores_of(bench.store.client, NAME, one.version) for one in bench.versions}
    assert scores[last] is not None
    assert scores[last].primary == 0.9
    assert len(bench.versions) == 3
