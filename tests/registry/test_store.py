"""Where MLflow's store is, how it is set up, and what is said when it cannot be opened."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from bertline.base.artifacts import Artifacts
from bertline.base.errors import BertlineError, masked
from bertline.registry.store import faults_explained, open_store

OPEN = """
import sys
from pathlib import Path
from bertline.base.artifacts import Artifacts
from bertline.registry.store import open_store
with open_store(Artifacts(Path(sys.argv[1])), "shared") as store:
    print(store.experiment_id)
"""


def test_the_default_store_lies_in_the_checkout_wherever_one_stands(
    artifacts: Artifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with open_store(Artifacts(Path("checkout")), "mine") as store:
        run = store.client.create_run(store.experiment_id)
        store.client.log_text(run.info.run_id, "kept", "note.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["checkout"]
    assert len(list(artifacts.root.glob("mlruns/*/artifacts/note.txt"))) == 1


def test_mlflow_tracking_uri_is_respected_and_put_back(
    artifacts: Artifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (artifacts.root / "mlflow.db").read_bytes()
    shutil.copy(artifacts.root / "mlflow.db", tmp_path / "other.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other.db")
    with open_store(artifacts, "mine") as store:
        assert mlflow.get_tracking_uri() == store.uri == f"sqlite:///{tmp_path}/other.db"
        assert store.client.get_experiment_by_name("mine") is not None
    assert os.environ["MLFLOW_TRACKING_URI"] == f"sqlite:///{tmp_path}/other.db"
    assert (artifacts.root / "mlflow.db").read_bytes() == before


def test_a_relative_address_starts_at_the_checkout_wherever_one_stands(
    artifacts: Artifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `dvc repro` has it, which runs the stages there: `bertline promote` in a folder below is to find the same."""
    shutil.copy(artifacts.root / "mlflow.db", artifacts.root / "other.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other.db")
    with open_store(Artifacts(Path("checkout")), "mine") as store:
        assert store.uri == f"sqlite:///{artifacts.root}/other.db"
    assert [path.name for path in tmp_path.iterdir()] == ["checkout"]


@pytest.mark.parametrize("name", ["feature%2Fx", "a%20b", "a b", "100%", "a#b", "ü@x:y", "a+b'&c", "a\\b"])
def test_a_checkout_has_its_own_store_whatever_signs_its_path_has(
    name: str, template: Artifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, elsewhere = tmp_path / "places" / name, tmp_path / "elsewhere"
    for folder in (root, elsewhere):
        folder.mkdir(parents=True)
    monkeypatch.chdir(elsewhere)  # where a path that is not understood would come to lie
    shutil.copy(template.root / "mlflow.db", root)
    with open_store(Artifacts(root), "mine") as store:
        run = store.client.create_run(store.experiment_id).info.run_id
        store.client.log_dict(run, {"a": 1}, "verdicts/x y/verdict.json")
        (file,) = store.client.list_artifacts(run, "verdicts/x y")
        assert Path(store.client.download_artifacts(run, file.path)).is_file()
        model = store.client.create_logged_model(store.experiment_id, "model", run)
        store.client.log_model_artifacts(model.model_id, str(model_folder(tmp_path)))
        assert Path(mlflow.artifacts.download_artifacts(f"models:/{model.model_id}")).is_dir()
        uri = store.uri
    assert {path.name for path in root.iterdir()} == {"mlflow.db", "mlflow.db.lock", "mlruns"}
    assert [path.name for path in root.parent.iterdir()] == [name]
    assert list(elsewhere.iterdir()) == []
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)  # as a worktree of the checkout is told
    with open_store(Artifacts(tmp_path / "worktree"), make=False) as again:
        assert (again.uri, again.lock) == (uri, root.resolve() / "mlflow.db.lock")


def test_a_path_that_no_address_of_sqlite_can_name_is_refused(tmp_path: Path) -> None:
    told = r"a\?b/mlflow\.db: .*end at a \?.* Move the checkout, or name another"
    with pytest.raises(BertlineError, match=told), open_store(Artifacts(tmp_path / "a?b"), "mine"):
        pass


@pytest.mark.parametrize("stays", [False, True], ids=["moved", "copied"])
def test_a_store_that_was_moved_with_its_checkout_finds_its_files_and_writes_where_it_is(
    stays: bool, artifacts: Artifacts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_store(artifacts, "mine") as store:
        run = store.client.create_run(store.experiment_id).info.run_id
        store.client.log_text(run, "old", "old.txt")
        model = store.client.create_logged_model(store.experiment_id, "model", run)
        store.client.log_model_artifacts(model.model_id, str(model_folder(tmp_path)))
    new = tmp_path / "other place"
    shutil.copytree(artifacts.root, new)
    if not stays:
        shutil.rmtree(artifacts.root)
    before = sorted(artifacts.root.rglob("*"))
    with open_store(Artifacts(new), make=False) as store:
        assert Path(store.client.download_artifacts(run, "old.txt")).read_text() == "old"
        assert Path(mlflow.artifacts.download_artifacts(f"models:/{model.model_id}")).is_dir()
    with open_store(Artifacts(new), "mine") as store:
        again = store.client.create_run(store.experiment_id).info.run_id
        store.client.log_text(again, "new", "new.txt")
    assert len(list(new.glob("mlruns/*/artifacts/*.txt"))) == 2
    assert sorted(artifacts.root.rglob("*")) == before
    (told,) = capsys.readouterr().err.splitlines()
    old, here = ((root / "mlruns").as_uri() for root in (artifacts.root, new))
    assert told == f"MLflow store {new}/mlflow.db: its addresses led to {old}; set right, to its own files in {here}"


def test_files_that_lie_elsewhere_by_a_persons_choice_stay_there(artifacts: Artifacts, tmp_path: Path) -> None:
    chosen = (tmp_path / "disk").as_uri()
    with open_store(artifacts) as store:
        experiment = store.client.create_experiment("mine", artifact_location=chosen)
        model = store.client.create_logged_model(experiment, "model")
        store.client.log_model_artifacts(model.model_id, str(model_folder(tmp_path)))
    (artifacts.root / "mlruns").mkdir(exist_ok=True)
    with open_store(artifacts, "mine") as store:
        assert store.client.get_experiment(experiment).artifact_location == chosen
        assert store.client.get_logged_model(model.model_id).artifact_location.startswith(f"{chosen}/")


def model_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "MLmodel").write_text("of nothing\n")
    return folder


def test_an_address_with_options_is_read_as_sqlalchemy_reads_it_to_the_letter(
    artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(artifacts.root / "mlflow.db", artifacts.root / "my %20 store.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///my %20 store.db?timeout=9")
    with open_store(artifacts, make=False) as store:
        assert store.uri == f"sqlite:///{artifacts.root}/my %20 store.db?timeout=9"
        assert store.lock == artifacts.root / "my %20 store.db.lock"


def test_leaving_the_store_leaves_no_trace_in_the_environment(artifacts: Artifacts) -> None:
    with open_store(artifacts, "mine"):
        assert "MLFLOW_TRACKING_URI" in os.environ
    assert "MLFLOW_TRACKING_URI" not in os.environ


def test_two_processes_that_come_first_at_once_share_one_store(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPEN, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ended = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ended
    assert ended[0][0] == ended[1][0]
    assert [error for _, error in ended] == ["", ""]  # migrations are not shown to people


def test_a_deleted_experiment_is_named_with_the_way_back(artifacts: Artifacts) -> None:
    with open_store(artifacts, "mine") as store:
        store.client.delete_experiment(store.experiment_id)
    with (
        pytest.raises(BertlineError, match=r"'mine' was deleted.*mlflow experiments restore"),
        open_store(artifacts, "mine"),
    ):
        pass


def test_a_store_that_cannot_be_opened_is_one_line(artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    (artifacts.root / "notes.db").write_text("no database " * 100)
    uris = [f"sqlite:///{artifacts.root}/notes.db", "gopher://somewhere", "mssql+nodriver://me:secret@host/db"]
    for uri in uris:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with pytest.raises(BertlineError) as caught, open_store(artifacts, "mine"):
            pass
        assert f"MLflow store {masked(uri)}: " in str(caught.value)
        assert "secret" not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_database_without_its_driver_says_what_to_install(
    artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:secret@127.0.0.1:9/mlflow")
    with (
        pytest.raises(BertlineError, match=r"no driver for postgresql\..*pip install psycopg"),
        open_store(artifacts, "mine"),
    ):
        pass


def test_an_unreachable_server_is_said_and_its_password_is_not(
    artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    with pytest.raises(BertlineError) as caught, open_store(artifacts, "mine"):
        pass
    assert "http://me:***@127.0.0.1:9" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_password_is_masked_though_a_long_message_is_cut_within_it() -> None:
    """What a proxy or a database says names addresses other than the store's."""
    told = f"{'x' * 270} postgresql://me:verysecretpassword@host/mlflow refused"
    with pytest.raises(BertlineError) as caught, faults_explained("sqlite:////a/b.db"):
        raise MlflowException(told)
    assert "xxx" in str(caught.value) and "very" not in str(caught.value)


def test_checkouts_that_share_a_database_share_its_artifacts_and_its_lock(
    artifacts: Artifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "shared" / "mlflow.db"
    database.parent.mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
    locks = set()
    for root in (artifacts.root, tmp_path / "another"):
        with open_store(Artifacts(root), "mine") as store:
            locks.add(store.lock)
            run = store.client.create_run(store.experiment_id)
            assert run.info.artifact_uri.startswith((database.parent / "mlruns").as_uri())
    assert len(locks) == 1
