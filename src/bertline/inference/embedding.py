"""Texts as vectors: the last hidden states of a pre-trained model, pooled; for search, clustering and linear models.

    model, tokenizer = load_model(BertForPreTraining, directory).eval(), load_tokenizer(directory)
    embed(model.bert, tokenizer, ["Returns the mean.", "Plot a line."])       # float32 (2, hidden)

Pooling is as sentence-transformers does it: `cls` is the state of [CLS], `mean` that of all tokens, [CLS] and [SEP]
among them. The model was not trained to bring like texts together: judge by your own task.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer

from bertline.base.config import Precision
from bertline.inference.inputs import Input, as_rows
from bertline.inference.predictor import outputs_of
from bertline.model.bert import BertModel
from bertline.tasks.batches import Features
from bertline.tasks.features import encode_rows
from bertline.tasks.schema import TaskInfo

Floats = npt.NDArray[np.float64]

POOLINGS = ("cls", "mean")
_BATCH = 64  # texts in a forward pass, at most
_DIGITS = 6  # beyond them a text's neighbours in its batch show
TEXTS = TaskInfo("embedding", "classification", (), "accuracy", ("accuracy",), pair=False, rows={}, source="")
"""What texts are read as: the rows of no task."""


def embed(
    encoder: BertModel,
    tokenizer: Tokenizer,
    texts: Sequence[Input],
    *,
    max_length: int | None = None,
    batch_size: int = _BATCH,
    precision: Precision = "fp32",
) -> npt.NDArray[np.float32]:
    """The mean vector of each text (a string, or {"text": …}), in their order.

    Args:
        encoder, tokenizer: of one model.
        texts: to read.
        max_length: tokens of each that are read, special ones included: those that the model was trained on at a time
            (tokens.tokenizer.read_max_length); by default as many as it has positions.
        batch_size: texts in a forward pass, at most.
        precision: of matrix products.

    Returns:
        float32 (texts, hidden), rounded to six digits: in fp32, other texts beside a text change the last digit of
        a few of its values, and nothing else.

    Raises:
        BertlineError: a text is empty, or no text; says which.
    """
    length = max_length or encoder.config.max_positions
    features = encode_rows(as_rows(TEXTS, texts), TEXTS, tokenizer, max_length=length, stride=0)
    vectors = pooled_vectors(encoder, features, batch_size=batch_size, precision=precision)
    return vectors["mean"].round(_DIGITS).astype(np.float32)


@torch.inference_mode()
def pooled_vectors(
    encoder: BertModel, features: Features, *, batch_size: int = _BATCH, precision: Precision = "fp32"
) -> dict[str, Floats]:
    """The vectors of rows by pooling, each (rows, hidden); features of text and pair tasks, an example a row."""
    found = {pooling: np.zeros((len(features), encoder.config.hidden_size)) for pooling in POOLINGS}
    for batch, outputs in outputs_of(encoder, features, batch_size=batch_size, precision=precision):
        hidden = outputs.double()
        mask = torch.from_numpy(batch.mask).to(hidden.device)
        weights = mask.double() / mask.sum(dim=1, keepdim=True)
        found["cls"][batch.rows] = hidden[:, 0].cpu().numpy()
        found["mean"][batch.rows] = torch.einsum("bs,bsh->bh", weights, hidden).cpu().numpy()
    return found
