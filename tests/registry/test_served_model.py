"""Registered models of every kind, loaded as an application would, with pickle refused."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mlflow
import pandas as pd
import pytest
import torch
from mlflow.exceptions import MlflowException

import bertline
from bertline.base.artifacts import Artifacts
from bertline.inference.embedding import embed
from bertline.inference.fill_mask import FillMask
from bertline.inference.predictor import Predictor
from bertline.registry.store import open_store
from bertline.training.device import usable_precision
from registry.pipeline_state import TEXTS

TEXT = "the mean of an array"
ROWS: dict[str, list[dict[str, str]]] = {
    "topic": [{"text": text} for text in TEXTS],
    "pairs": [{"text": TEXT, "text_pair": "returns the mean value."}],
    "rating": [{"text": TEXT}],
    "params": [{"text": "axis: the shape of\n the array. "}],
    "qa": [{"question": "what does axis do?", "context": "axis: the mean of the values."}],
}


@pytest.fixture
def load(registered: Artifacts, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Load the champion of a task."""
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    paths = list(sys.path)
    with open_store(registered, "bertline"):
        yield lambda name: mlflow.pyfunc.load_model(f"models:/bertline-{name}@champion")
    sys.path[:] = paths


@pytest.mark.parametrize("task", ROWS)
def test_a_champion_answers_as_the_model_it_was_made_of(task: str, load: Any, registered: Artifacts) -> None:
    expected = Predictor(registered.finetuned(task)).predict(ROWS[task])
    answered = load(task).predict(pd.DataFrame(ROWS[task])).to_dict("records")
    assert answered == [{name: one[name] for name in answer} for one, answer in zip(expected, answered, strict=True)]
    assert len(answered) == len(ROWS[task])


def test_precision_is_an_option_of_loading(load: Any, registered: Artifacts) -> None:
    model = mlflow.pyfunc.load_model("models:/bertline-topic@champion", model_config={"precision": "bf16"})
    answered = model.predict(pd.DataFrame(ROWS["topic"])).to_dict("records")
    own = Predictor(registered.finetuned("topic"), precision="bf16").predict(ROWS["topic"])
    assert [one["score"] for one in answered] == [one["score"] for one in own]
    exact = load("topic").predict(pd.DataFrame(ROWS["topic"])).to_dict("records")
    assert (answered == exact) == (usable_precision("cpu", "bf16") == "fp32")


@pytest.mark.parametrize(
    ("task", "option", "told"),
    [
        ("topic", {"precision": "fp16"}, "precision is 'fp16'. Set it to bf16 or fp32"),
        ("encoder", {"precision": None}, "precision is None. Set it to bf16 or fp32"),
        ("qa", {"batch_size": 0}, "batch_size is 0. Set it to a number from 1"),
        ("encoder", {"top": "all"}, "top is 'all'. Set it to a number from 1"),
    ],
)
def test_an_option_that_no_model_has_is_refused_when_it_is_loaded(
    task: str, option: dict[str, Any], told: str, load: Any
) -> None:
    """At its first question it had failed else, long after it was said to be served."""
    with pytest.raises(Exception, match=told):
        mlflow.pyfunc.load_model(f"models:/bertline-{task}@champion", model_config=option)


def test_a_text_gets_the_label_that_was_learned(load: Any) -> None:
    assert list(load("topic").predict(pd.DataFrame(ROWS["topic"]))["label"]) == list(TEXTS.values())


def test_entities_stand_at_their_characters(load: Any) -> None:
    text = ROWS["params"][0]["text"]
    (entities,) = load("params").predict(pd.DataFrame(ROWS["params"]))["entities"]
    assert entities
    assert all(text[entity["start"] : entity["end"]] == entity["text"] for entity in entities)


def test_the_encoder_fills_masks_and_gives_vectors(load: Any, registered: Artifacts) -> None:
    texts = ["the [MASK] of an array", TEXT, TEXT * 20]
    model = mlflow.pyfunc.load_model("models:/bertline-encoder@champion", model_config={"top": 2})
    answered = model.predict(pd.DataFrame({"text": texts}))
    own = FillMask(registered.pretrained)
    assert list(answered["fills"]) == [own.fill(texts[0], top=2), [], []]
    assert own.max_length == 32, "as trained"
    assert answered["embedding"].tolist() == embed(own.model.bert, own.tokenizer, texts, max_length=32).tolist()


@pytest.mark.usefixtures("load")
def test_the_encoder_computes_as_its_loader_asks(registered: Artifacts) -> None:
    options = {"precision": "bf16", "batch_size": 1}
    model = mlflow.pyfunc.load_model("models:/bertline-encoder@champion", model_config=options)
    texts = ["the [MASK] of an array", TEXT]
    with rows_of_each_pass() as seen:
        answered = model.predict(pd.DataFrame({"text": texts}))
    assert seen == [1, 1, 1], "a vector each, and a mask"
    own = FillMask(registered.pretrained, precision="bf16")
    assert list(answered["fills"]) == [own.fill(texts[0]), []]
    vectors = embed(own.model.bert, own.tokenizer, texts, batch_size=1, precision="bf16")
    assert answered["embedding"].tolist() == vectors.tolist()
    exact = embed(own.model.bert, own.tokenizer, texts)
    assert (vectors.tolist() == exact.tolist()) == (usable_precision("cpu", "bf16") == "fp32")


def test_the_example_of_the_encoder_shows_both_of_what_it_does(load: Any) -> None:
    model = load("encoder")
    assert "[MASK]" in model.input_example["text"][0]
    assert model.predict(model.input_example)["fills"][0]


@contextmanager
def rows_of_each_pass() -> Iterator[list[int]]:
    """How many rows each forward pass of an encoder has: of any, for a served model brings classes of its own."""
    seen: list[int] = []

    def note(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if type(module).__name__ == "BertModel":
            seen.append(len(inputs[0]))

    handle = torch.nn.modules.module.register_module_forward_pre_hook(note)
    try:
        yield seen
    finally:
        handle.remove()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.usefixtures("load")
@pytest.mark.parametrize("name", ["topic", "encoder"])
def test_a_device_that_is_not_there_is_refused_when_a_model_is_loaded(name: str) -> None:
    with pytest.raises(Exception, match="device: cuda: no CUDA device is available"):
        mlflow.pyfunc.load_model(f"models:/bertline-{name}@champion", model_config={"device": "cuda"})


@pytest.mark.parametrize(
    ("task", "frame", "message"),
    [
        ("topic", {"txt": [TEXT]}, "text"),
        ("topic", {"text": [3]}, "text"),
        ("topic", {"text": [" "]}, "input 1: text is empty"),
        ("pairs", {"text": [TEXT], "text_pair": [None]}, "text_pair"),
        ("params", {"text": [""]}, "empty"),
        ("qa", {"question": [TEXT]}, "context"),
        ("encoder", {"text": [" "]}, "input 1: text is empty"),
        ("encoder", {"text": [None]}, "text"),
        ("encoder", {"text": [TEXT, "[MASK] " * 3000]}, r"3000 \[MASK\] are too many"),
    ],
)
def test_a_wrong_input_is_the_callers_fault(task: str, frame: dict[str, Any], message: str, load: Any) -> None:
    with pytest.raises(MlflowException, match=message) as caught:
        load(task).predict(pd.DataFrame(frame))
    assert 400 <= caught.value.get_http_status_code() < 500


def test_no_rows_give_no_answers(load: Any) -> None:
    for task, columns in (("topic", ["label", "score"]), ("params", ["entities"])):
        answered = load(task).predict(pd.DataFrame({"text": pd.Series([], dtype=str)}))
        assert list(answered.columns) == columns
        assert answered.empty


def test_a_model_logged_has_all_that_a_user_of_it_asks_for(load: Any, registered: Artifacts) -> None:
    model = load("pairs").metadata
    assert model.get_input_schema().input_names() == ["text", "text_pair"]
    assert model.get_output_schema().input_names() == ["label", "score"]
    assert model.saved_input_example_info["type"] == "dataframe"
    uri = "models:/bertline-pairs@champion"
    requirements = mlflow.artifacts.load_text(f"{uri}/requirements.txt").split()
    assert {line.partition("==")[0] for line in requirements} >= {
        "torch",
        "tokenizers",
        "safetensors",
        "numpy",
        "mlflow",
    }
    assert all("==" in line and "+" not in line for line in requirements)
    assert "# bertline-pairs" in mlflow.artifacts.load_text(f"{uri}/artifacts/README.md")


WITHOUT_BERTLINE = """
import sys
from importlib.abc import MetaPathFinder
class Missing(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] == "bertline":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
import mlflow
model = mlflow.pyfunc.load_model("models:/bertline-qa@champion")
print(model.predict(model.input_example).to_dict("records")[0]["answer"])
"""


def test_a_model_answers_where_bertline_is_not_installed(registered: Artifacts, load: Any) -> None:
    model = load("qa")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_BERTLINE], cwd=registered.root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == model.predict(model.input_example)["answer"][0]


def test_a_loaded_model_hides_nothing_of_the_bertline_that_is_installed(load: Any) -> None:
    load("topic")
    source = mlflow.artifacts.load_text("models:/bertline-topic@champion/served_model.py")
    assert "from bertline." not in source
    own = {name.split(".")[0] for name in sys.modules if name.startswith("bertline_")}
    assert own, "the model brought its own code under its own name"
    assert bertline.__file__ == sys.modules["bertline"].__file__
