"""BERT in plain PyTorch (Devlin et al. 2019): the encoder, its pre-training heads and a head for every kind of task.

    config = BertConfig.named("tiny", vocab_size=8192)
    model = BertForPreTraining(config)
    initialize(model, seed=0)
    mlm_logits, nsp_logits = model(ids, segments, mask, positions)

Every model takes `ids` and `segments`, int64 (batch, sequence), and `mask`, bool (batch, sequence), True = a real
token, at least one in a row; None when nothing is padded, which is faster. In place of the mask they take a `Packing`
of it (packing.py), and then spend nothing on padding but in attention. The weights are those of Hugging Face's classes
of the same names; `hf.py` reads and writes them.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from bertline.base.shapes import HEAD_SIZE, shape_of
from bertline.model.attention import SelfAttention
from bertline.model.dropout import dropout
from bertline.model.embedding import embed
from bertline.model.packing import Mask, Packing

INITIAL_DEVIATION = 0.02  # standard deviation of initial weights, as published
LAYER_NORM_EPSILON = 1e-12
POSITIONS = ("learned", "sinusoidal")


@dataclass(frozen=True)
class BertConfig:
    """The shape of a BERT encoder.

    Attributes:
        vocab_size: entries of the vocabulary.
        hidden_size: width of the hidden states, a multiple of `heads`.
        layers: transformer layers.
        heads: attention heads a layer.
        intermediate_size: width inside the feed-forward networks.
        max_positions: longest sequence, in tokens.
        segments: segment (token type) embeddings.
        dropout: on hidden states, attention weights and the input of a task's head, while training.
        positions: "learned" table, or fixed "sinusoidal" one.

    Raises:
        ValueError: the numbers do not fit together.
    """

    vocab_size: int
    hidden_size: int
    layers: int
    heads: int
    intermediate_size: int
    max_positions: int = 512
    segments: int = 2
    dropout: float = 0.0
    positions: str = "learned"

    def __post_init__(self) -> None:
        counts = ("vocab_size", "hidden_size", "layers", "heads", "intermediate_size", "max_positions", "segments")
        for name in counts:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.hidden_size % self.heads:
            raise ValueError(f"hidden_size ({self.hidden_size}) must be a multiple of heads ({self.heads})")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, not {self.dropout}")
        if self.positions not in POSITIONS:
            raise ValueError(f"positions must be one of {', '.join(POSITIONS)}, not {self.positions!r}")
        if self.positions == "sinusoidal" and self.hidden_size % 2:
            raise ValueError(f"sinusoidal positions need an even hidden_size, not {self.hidden_size}")

    @classmethod
    def named(cls, name: str, *, vocab_size: int, dropout: float = 0.0, positions: str = "learned") -> "BertConfig":
        """A published size by name, or any other as LAYERS/WIDTH: shapes.py.

        Raises:
            ValueError: no such size, or no such shape.
        """
        layers, hidden_size = shape_of(name)
        return cls(
            vocab_size=vocab_size,
            hidden_size=hidden_size,
            layers=layers,
            heads=hidden_size // HEAD_SIZE,
            intermediate_size=4 * hidden_size,
            dropout=dropout,
            positions=positions,
        )


def sinusoidal_table(positions: int, size: int) -> Tensor:
    """Fixed position embeddings (Vaswani et al. 2017, section 3.5): sines in even columns, cosines in odd ones.

    They are scaled to the standard deviation that learned embeddings start with: at their own scale of 1 they would
    drown the tokens' embeddings, which BERT does not scale up.

    Returns:
        (positions, size), fp32.
    """
    place = torch.arange(positions, dtype=torch.float64).unsqueeze(1)
    frequency = torch.exp(torch.arange(0, size, 2, dtype=torch.float64) * (-math.log(10_000) / size))
    table = torch.stack(((place * frequency).sin(), (place * frequency).cos()), dim=-1).flatten(1)
    return (table * (INITIAL_DEVIATION * math.sqrt(2))).float()  # a sinusoid's deviation is 1 / sqrt(2)


def _layer_norm(size: int) -> nn.LayerNorm:
    return nn.LayerNorm(size, eps=LAYER_NORM_EPSILON)


class BertLayer(nn.Module):
    """Self-attention and feed-forward network, each with a residual and a layer norm after it."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.attention = SelfAttention(config.hidden_size, config.heads, config.dropout)
        self.attention_norm = _layer_norm(config.hidden_size)
        self.intermediate = nn.Linear(config.hidden_size, config.intermediate_size)
        self.output = nn.Linear(config.intermediate_size, config.hidden_size)
        self.output_norm = _layer_norm(config.hidden_size)
        self.dropout = dropout(config.dropout)

    def forward(self, hidden: Tensor, mask: Mask, places: Tensor | None = None) -> Tensor:
        """Map hidden states to the same shape; both as SelfAttention takes them.

        With places, int64 (batch, n), only the states at these are computed: (batch, n, hidden).
        """
        if places is None:
            return self._feed_forward(hidden, self.attention(hidden, mask))
        chosen = _at(places, hidden, mask)
        if isinstance(mask, Packing):  # its kernel is not asked for fewer queries than keys
            attended = _at(places, self.attention.attend(hidden, mask), mask)
            return self._feed_forward(chosen, self.attention.output(attended))
        return self._feed_forward(chosen, self.attention.some(chosen, hidden, mask))

    def first(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """What `forward` gives for the first token of each sequence: (batch, 1, hidden)."""
        return self._feed_forward(hidden[:, :1], self.attention.first(hidden, mask))

    def _feed_forward(self, hidden: Tensor, attended: Tensor) -> Tensor:
        hidden = self.attention_norm(_add(hidden, self.dropout(attended)))
        expanded = functional.gelu(self.intermediate(hidden))
        changed: Tensor = self.output_norm(_add(hidden, self.dropout(self.output(expanded))))
        return changed


def _add(residual: Tensor, change: Tensor) -> Tensor:
    """Their sum in the residual's precision: on a CPU, to cast and then add is twice as fast as to add mixed types."""
    return residual + change.to(residual.dtype)


class BertModel(nn.Module):
    """The encoder: embeddings, layers and, for the models that use it, the pooler."""

    def __init__(self, config: BertConfig, *, pooler: bool = True) -> None:
        super().__init__()
        self.config = config
        size = config.hidden_size
        self.token_embeddings = nn.Embedding(config.vocab_size, size)
        self.segment_embeddings = nn.Embedding(config.segments, size)
        self.position_embeddings: Tensor
        if config.positions == "sinusoidal":
            # Part of the state, so that a table read from a file is the one that is used.
            self.register_buffer("position_embeddings", sinusoidal_table(config.max_positions, size))
        else:
            self.position_embeddings = nn.Parameter(torch.zeros(config.max_positions, size))
        self.embedding_norm = _layer_norm(size)
        self.dropout = dropout(config.dropout)
        self.layers = nn.ModuleList(BertLayer(config) for _ in range(config.layers))
        self.pooler = nn.Linear(size, size) if pooler else None

    def forward(self, ids: Tensor, segments: Tensor, mask: Mask, places: Tensor | None = None) -> Tensor:
        """Encode: (batch, sequence) to hidden states, (batch, sequence, hidden); those of padding mean nothing.

        With places, int64 (batch, n), to the states at these alone, (batch, n, hidden). The last layer then makes keys
        and values for all tokens and the rest for these: where one token in six is asked for, as in pre-training, a
        third of it is left.
        """
        hidden, last = self._below_last(ids, segments, mask)
        encoded: Tensor = last(hidden, mask, places)
        return mask.pad(encoded) if isinstance(mask, Packing) and places is None else encoded

    def first(self, ids: Tensor, segments: Tensor, mask: Mask) -> Tensor:
        """The hidden states of the first tokens alone, (batch, 1, hidden): what a head on [CLS] needs.

        The last layer then computes everything for one token a sequence: next to nothing is left of it.
        """
        hidden, last = self._below_last(ids, segments, mask)
        if isinstance(mask, Packing):
            hidden, mask = mask.pad(hidden), mask.mask
        return last.first(hidden, mask)

    def _below_last(self, ids: Tensor, segments: Tensor, mask: Mask) -> tuple[Tensor, BertLayer]:
        """What the last layer is given, and that layer."""
        hidden = self._embed(ids, segments, mask)
        *lower, last = self.layers
        for layer in lower:
            hidden = layer(hidden, mask)
        assert isinstance(last, BertLayer)
        return hidden, last

    def _embed(self, ids: Tensor, segments: Tensor, mask: Mask) -> Tensor:
        positions = self.position_embeddings[: ids.shape[1]]
        if isinstance(mask, Packing):
            ids, segments, positions = mask.of(ids), mask.of(segments), embed(mask.columns, positions)
        tokens, kinds = self.token_embeddings.weight, self.segment_embeddings.weight
        embedded = embed(ids, tokens) + embed(segments, kinds) + positions
        hidden: Tensor = self.dropout(self.embedding_norm(embedded))
        return hidden

    def pool(self, hidden: Tensor) -> Tensor:
        """One vector a sequence: (batch, sequence, hidden) to (batch, hidden), the tanh of a projection of [CLS].

        Raises:
            RuntimeError: the model was built without a pooler (tagging and span models have none).
        """
        if self.pooler is None:
            raise RuntimeError("this encoder has no pooler")
        return torch.tanh(self.pooler(hidden[:, 0]))


class BertWithHead(nn.Module):
    """What the models below share: an encoder `bert`, its `config`, and the name of their Hugging Face class."""

    hugging_face_class: ClassVar[str]

    def __init__(self, config: BertConfig, *, pooler: bool) -> None:
        super().__init__()
        self.config = config
        self.bert = BertModel(config, pooler=pooler)


class BertForPreTraining(BertWithHead):
    """Masked language modelling and next-sentence prediction (Devlin et al. 2019, section 3.1)."""

    hugging_face_class = "BertForPreTraining"

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config, pooler=True)
        self.mlm_transform = nn.Linear(config.hidden_size, config.hidden_size)
        self.mlm_norm = _layer_norm(config.hidden_size)
        self.mlm_bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.nsp = nn.Linear(config.hidden_size, 2)

    def forward(self, ids: Tensor, segments: Tensor, mask: Mask, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Predict the tokens at some positions, and whether the second segment follows the first.

        Args:
            ids, segments, mask: as every model takes them; or a packing of that batch in place of the mask.
            positions: int64 (batch, predictions), places in the sequence; the MLM head runs there only, and most of the
                last layer.

        Returns:
            MLM logits (batch, predictions, vocab_size) and NSP logits (batch, 2); NSP class 0 = follows, 1 = random.
        """
        hidden = self.bert(ids, segments, mask, functional.pad(positions, (1, 0)))  # [CLS], then the predictions
        transformed = self.mlm_norm(functional.gelu(self.mlm_transform(hidden[:, 1:])))
        # The decoder's weights are the token embeddings (tied): no copy, one gradient.
        mlm_logits = functional.linear(transformed, self.bert.token_embeddings.weight, self.mlm_bias)
        return mlm_logits, self.nsp(self.bert.pool(hidden))


def _at(positions: Tensor, hidden: Tensor, mask: Mask) -> Tensor:
    """The hidden states at places of each sequence: int64 (batch, n) to (batch, n, hidden)."""
    if isinstance(mask, Packing):
        return hidden[mask.offsets[: len(positions), None] + positions]
    if hidden.device.type == "cpu":
        return hidden.take_along_dim(positions.unsqueeze(-1), dim=1)
    # By whole rows: the deterministic gradient of the line above sorts every single number.
    starts = hidden.shape[1] * torch.arange(len(positions), device=hidden.device)
    return hidden.flatten(0, 1)[starts[:, None] + positions]


class BertForSequenceClassification(BertWithHead):
    """A class, or with one output a number, for a text or a pair of texts."""

    hugging_face_class = "BertForSequenceClassification"

    def __init__(self, config: BertConfig, outputs: int) -> None:
        super().__init__(config, pooler=True)
        self.dropout = dropout(config.dropout)
        self.classifier = nn.Linear(config.hidden_size, outputs)

    def forward(self, ids: Tensor, segments: Tensor, mask: Mask) -> Tensor:
        """Logits, or the number itself: (batch, outputs)."""
        logits: Tensor = self.classifier(self.dropout(self.bert.pool(self.bert.first(ids, segments, mask))))
        return logits


class BertForTokenClassification(BertWithHead):
    """A tag for every token."""

    hugging_face_class = "BertForTokenClassification"

    def __init__(self, config: BertConfig, outputs: int) -> None:
        super().__init__(config, pooler=False)
        self.dropout = dropout(config.dropout)
        self.classifier = nn.Linear(config.hidden_size, outputs)

    def forward(self, ids: Tensor, segments: Tensor, mask: Mask) -> Tensor:
        """Logits: (batch, sequence, outputs)."""
        logits: Tensor = self.classifier(self.dropout(self.bert(ids, segments, mask)))
        return logits


class BertForQuestionAnswering(BertWithHead):
    """Where the answer to a question starts and ends in its context (Devlin et al. 2019, section 4.2)."""

    hugging_face_class = "BertForQuestionAnswering"

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config, pooler=False)
        self.span = nn.Linear(config.hidden_size, 2)

    def forward(self, ids: Tensor, segments: Tensor, mask: Mask) -> tuple[Tensor, Tensor]:
        """Logits of first and last token, each (batch, sequence); padding and question are not masked out."""
        start, end = self.span(self.bert(ids, segments, mask)).unbind(-1)
        return start, end


@torch.no_grad()
def initialize(model: nn.Module, seed: int) -> None:
    """Start anew, in place: weights N(0, 0.02), biases 0, layer norms 1; the same seed gives the same weights.

    The weights are drawn in the order of `model.named_parameters()` from a generator of their own, so that models with
    the same encoder and different heads start with the same encoder.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            drawn = torch.empty(parameter.shape).normal_(0.0, INITIAL_DEVIATION, generator=generator)
            parameter.copy_(drawn)
        else:
            parameter.fill_(1.0 if name.endswith("norm.weight") else 0.0)
