"""What stands behind [MASK]: the pre-trained model asked for words, to see what it has learned.

FillMask(Path("data/models/pretrained")).fill("Returns the [MASK] of the array.")
# [{"mask": 0, "token": "shape", "score": 0.31, "text": "Returns the shape of the array."}, …]
"""

from pathlib import Path
from typing import Any

import torch

from bertline.base.config import Device, Precision
from bertline.base.errors import BertlineError
from bertline.inference.vocabulary import check_vocabulary
from bertline.model.bert import BertForPreTraining
from bertline.model.hf import load_model
from bertline.tokens.tokenizer import SpecialIds, load_tokenizer, read_max_length, read_vocab
from bertline.training.device import autocast, find_device

MASK = "[MASK]"
MOST_MASKS = 100
"""Of a text: each is a forward pass, and each guess repeats the text, so that answers grow with the square of them."""
_DIGITS = 6


class FillMask:
    """A pre-trained model (BertForPreTraining in Hugging Face format) that fills gaps.

    Attributes:
        model, tokenizer: its parts.
        max_length: tokens that it was trained on at a time.
    """

    def __init__(self, directory: Path, *, device: Device = "cpu", precision: Precision = "fp32") -> None:
        """Load weights and tokenizer.

        Args:
            directory: of the model.
            device: where to compute.
            precision: of matrix products; with bf16, scores are less exact.

        Raises:
            BertlineError: a file is missing or malformed, the parts do not belong together, or there is no such device.
        """
        self._device, self._precision = find_device(device), precision
        self.tokenizer = load_tokenizer(directory)
        self._vocab = read_vocab(directory)
        self.model = load_model(BertForPreTraining, directory).eval().to(self._device)
        check_vocabulary(self.model.config.vocab_size, self.tokenizer, str(directory))
        self.max_length = read_max_length(directory, self.model.config.max_positions)
        self._special = SpecialIds.of(self._vocab)

    @torch.inference_mode()
    def fill(self, text: str, top: int = 5) -> list[dict[str, Any]]:
        """The likeliest tokens for every [MASK] of a text.

        Several masks are each filled with the others left standing, as transformers' fill-mask does. Of a text longer
        than what the model was trained on, each mask sees the part around it.

        Returns:
            `top` entries a mask, likeliest first: mask (its number, from 0), token, score (probability), and text (with
            this mask filled).

        Raises:
            BertlineError: the text has no [MASK] or more than `MOST_MASKS`, or `top` is below 1.
        """
        masks = text.count(MASK)
        if not masks:
            fix = f'Write one where a word is to be guessed: "The {MASK} of the array."'
            raise BertlineError(f"no {MASK} in {text[:60]!r}", where="text", fix=fix)
        if masks > MOST_MASKS:
            fix = f"Ask for {MOST_MASKS} at most, in several texts"
            raise BertlineError(f"{masks} {MASK} are too many in {text[:60]!r}", where="text", fix=fix)
        if top < 1:
            raise BertlineError(f"{top} is too few", where="top", fix="Ask for 1 or more")
        ids = self.tokenizer.encode(text, add_special_tokens=False).ids
        filled = []
        for number, place in enumerate(place for place, token in enumerate(ids) if token == self._special.mask):
            for score, token in self._guess(ids, place, top):
                filled.append({"mask": number, "token": token, "score": score, "text": _fill(text, number, token)})
        return filled

    def _guess(self, ids: list[int], place: int, top: int) -> list[tuple[float, str]]:
        room = self.max_length - 2
        start = max(0, min(place - room // 2, len(ids) - room))
        seen = torch.tensor([[self._special.cls, *ids[start : start + room], self._special.sep]], device=self._device)
        position = torch.tensor([[place - start + 1]], device=self._device)
        with autocast(self._device, self._precision):
            logits, _ = self.model(seen, torch.zeros_like(seen), None, position)
        scores, tokens = logits[0, 0].double().softmax(-1).topk(min(top, logits.shape[-1]))
        pieces = [self._vocab[token] for token in tokens.tolist()]
        return [(round(score, _DIGITS), piece) for score, piece in zip(scores.tolist(), pieces, strict=True)]


def _fill(text: str, number: int, token: str) -> str:
    """The text with its mask `number` replaced; a piece that continues a word (##…) joins the word before it."""
    parts = text.split(MASK)
    before, after = MASK.join(parts[: number + 1]), MASK.join(parts[number + 1 :])
    if token.startswith("##") and before.strip():
        return before.rstrip() + token.removeprefix("##") + after
    return before + token + after
