"""The same bytes whatever does the work: one process, several, or a Ray cluster of two workers."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bertline.base.config import Documents
from bertline.base.errors import BertlineError
from bertline.base.files import sha256_file, write_json, write_jsonl
from bertline.corpus import block
from bertline.corpus.documents import build_corpus
from bertline.corpus.readers import read_documents

CONFIG = Documents(min_characters=20, validation_fraction=0.2)
DAYS = ("monday", "friday", "sunday")


def words(number: int) -> str:
    name = "".join(chr(ord("a") + int(digit)) for digit in str(number))
    return " ".join(f"{name}{chr(ord('a') + place)}" for place in range(20))


def make_raw(root: Path) -> None:
    """Documents of which some are copies, nearly copies, or share text with a task."""
    documents = [f"It begins with {words(number)} [[File:x|y]]. On {DAYS[number % 3]} it ends." for number in range(60)]
    documents += [documents[3], documents[4].replace("ends", "stops"), f"Once {words(900)} was. So {words(901)} is."]
    (root / "raw").mkdir(parents=True)
    (root / "raw" / "text.txt").write_text("\n\n".join(documents))
    write_json(root / "raw" / "manifest.json", {"sources": [{"path": "text.txt"}]})
    (root / "tasks" / "t").mkdir(parents=True)
    write_jsonl(root / "tasks" / "t" / "test.jsonl", [{"id": "r", "text": words(900)}])


def build(root: Path, name: str, config: Documents = CONFIG) -> tuple[dict[str, str], dict]:
    directory = root / name / "documents"
    directory.mkdir(parents=True)
    metrics = build_corpus(root / "raw", directory, config, [root / "tasks" / "t"])
    assert [path.name for path in directory.parent.iterdir()] == ["documents"], "the scratch folder is gone"
    return {path.name: sha256_file(path) for path in directory.iterdir()}, metrics


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(block, "BLOCK_CHARACTERS", 700)
    make_raw(tmp_path)
    return tmp_path


def test_the_number_of_workers_changes_no_byte(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for count in (1, 2, 3):
        monkeypatch.setenv("BERTLINE_WORKERS", str(count))
        found[count], metrics = build(raw, f"workers{count}")
    assert len(list(block.blocks(read_documents(raw / "raw")))) > 8
    assert found[1] == found[2] == found[3]
    assert sorted(found[1]) == ["dropped.jsonl", "stats.json", "train-00000.parquet", "validation-00000.parquet"]
    dropped = metrics["dropped"]
    rules = ("documents_duplicate", "documents_near_duplicate", "documents_contaminated", "markup_links")
    assert [dropped[rule] for rule in rules] == [1, 1, 1, 62]


@pytest.mark.parametrize("characters", [1, 400, 5_000, 10_000_000])
def test_where_the_stream_is_cut_changes_no_document(
    raw: Path, characters: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BERTLINE_WORKERS", "1")
    expected, _ = build(raw, "as-set")
    monkeypatch.setattr(block, "BLOCK_CHARACTERS", characters)
    assert build(raw, "cut")[0] == expected


def test_a_cluster_that_is_not_there_is_said_in_one_error(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(BertlineError, match=r"documents\.engine: no Ray cluster .*Connection refused"):
        build(raw, "nowhere", replace(CONFIG, engine="ray"))


def test_without_ray_its_engine_says_what_to_install(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BertlineError, match=r"documents\.engine: Ray is not installed. Install it"):
        build(raw, "without", replace(CONFIG, engine="ray"))


@pytest.mark.slow
def test_a_ray_cluster_of_two_workers_writes_the_same_bytes(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    make_raw(tmp_path)
    program = (
        "import sys, ray; from pathlib import Path; from corpus.test_engines import *\n"
        "ray.init('local', num_cpus=2, include_dashboard=False, _node_ip_address='127.0.0.1', log_to_driver=False)\n"
        "block.BLOCK_CHARACTERS = 700\n"
        "root = Path(sys.argv[1]); local = build(root, 'local')\n"
        "assert build(root, 'ray', replace(CONFIG, engine='ray')) == local; print('the same', len(local[0]))\n"
    )
    here = Path(__file__).parents[1]
    paths = os.pathsep.join([str(here), str(here.parent / "src")])
    environment = os.environ | {"PYTHONPATH": paths, "RAY_USAGE_STATS_ENABLED": "0", "BERTLINE_WORKERS": "1"}
    environment.pop("RAY_ADDRESS", None)
    command = [sys.executable, "-c", program, str(tmp_path)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert result.stdout.splitlines()[-1:] == ["the same 4"], result.stderr[-3000:]
