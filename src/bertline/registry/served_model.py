"""The served model: what `mlflow models serve` and `mlflow.pyfunc.load_model` run, for every kind of model.

| kind | columns in | columns out |
|---|---|---|
| classification | text | label, score |
| pair | text, text_pair | label, score |
| regression | text, or text and text_pair | value |
| tagging | text | entities: list of {text, type, start, end}, in characters |
| span | question, context | answer, start, end (characters of the context), score |
| fill-mask (the pre-trained model) | text | embedding: list of numbers; fills: list of {mask, token, score, text} |

An embedding is the mean of the last hidden states. Fills are best first; a text without [MASK] has none, one with
more than a hundred is refused.

MLflow runs this file itself ("models from code"): a copy of it lies in the logged model, beside the modules it imports
(served_code.py). `model_config` sets device, batch_size, precision and top when a model is loaded.
"""

from pathlib import Path
from typing import Any, get_args

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from bertline.base.config import Precision
from bertline.base.errors import BertlineError
from bertline.inference.embedding import embed
from bertline.inference.fill_mask import MASK, FillMask
from bertline.inference.predictor import Predictor

Row = dict[str, Any]

DEFAULTS: dict[str, Any] = {"device": "cpu", "batch_size": 64, "precision": "fp32", "top": 5}
"""What `model_config` may set: where to run, rows a forward pass, fp32 or bf16, and fills a mask."""

OUTPUT_COLUMNS: dict[str, tuple[str, ...]] = {
    "classification": ("label", "score"),
    "pair": ("label", "score"),
    "regression": ("value",),
    "tagging": ("entities",),
    "span": ("answer", "start", "end", "score"),
    "fill-mask": ("embedding", "fills"),
}


class ServedModel(PythonModel):
    """A fine-tuned model, or the pre-trained one where the directory has no task.json."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the Hugging Face directory that was logged as `hf`.

        Raises:
            BertlineError: `model_config` has a value that is none of its option's.
        """
        options = DEFAULTS | dict(context.model_config or {})
        directory = Path(context.artifacts["hf"])
        device, precision = options["device"], options["precision"]
        if precision not in get_args(Precision):
            raise _refused("precision", options, " or ".join(get_args(Precision)))
        self._top, self._batch_size, self._precision = _count("top", options), _count("batch_size", options), precision
        self._model: Predictor | FillMask
        if (directory / "task.json").is_file():
            self._model = Predictor(directory, device=device, batch_size=self._batch_size, precision=precision)
        else:
            self._model = FillMask(directory, device=device, precision=precision)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: Row | None = None
    ) -> pd.DataFrame:
        """Answer every row of a frame; see the table above.

        Raises:
            MlflowException: INVALID_PARAMETER_VALUE (HTTP 400), a row has not what the kind of model needs.
        """
        rows: list[Row] = model_input.to_dict("records")
        try:
            if isinstance(self._model, FillMask):
                return self._of_encoder(self._model, rows)
            kind, answers = self._model.task.kind, self._model.predict(rows)
        except BertlineError as error:
            raise MlflowException(str(error), error_code=INVALID_PARAMETER_VALUE) from None
        columns = OUTPUT_COLUMNS[kind]
        return pd.DataFrame([{name: answer[name] for name in columns} for answer in answers], columns=list(columns))

    def _of_encoder(self, model: FillMask, rows: list[Row]) -> pd.DataFrame:
        parts = (model.model.bert, model.tokenizer, rows)
        vectors = embed(*parts, max_length=model.max_length, batch_size=self._batch_size, precision=self._precision)
        fills = [model.fill(row["text"], top=self._top) if MASK in row["text"] else [] for row in rows]
        return pd.DataFrame({"embedding": vectors.tolist(), "fills": fills})


def _count(name: str, options: Row) -> int:
    try:
        number = int(options[name])
    except (TypeError, ValueError):
        number = 0
    if number < 1:
        raise _refused(name, options, "a number from 1")
    return number


def _refused(name: str, options: Row, possible: str) -> BertlineError:
    return BertlineError(f"{name} is {options[name]!r}", where="model_config", fix=f"Set it to {possible}")


set_model(ServedModel())
