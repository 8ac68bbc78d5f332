"""inference.json: what prediction needs to know of the fine-tuning beside the weights, the tokenizer and task.json."""

from dataclasses import asdict, dataclass
from pathlib import Path

from bertline.base.errors import BertlineError
from bertline.base.files import read_json, write_json

FILE = "inference.json"


@dataclass(frozen=True)
class InferenceSettings:
    """How rows become examples, and which answers are possible.

    Attributes:
        max_length: tokens an example, as in training.
        stride: tokens that two examples of a long row share.
        max_answer_tokens: span: no answer is longer; the limit that was best on the validation rows.
        may_be_unanswerable: span: some training rows have no answer, so "" is a possible one.
        null_threshold: span: the answer is "" where the score of no answer exceeds that of the best span by more than
            this; the value that was best on the validation rows.
        n_best: span: how many different answers a prediction lists, the best among them; 0: the best alone, no list.
        punctuation_words: tagging: punctuation marks are words of the training rows, and so of a plain text.
    """

    max_length: int
    stride: int
    max_answer_tokens: int = 512
    may_be_unanswerable: bool = False
    null_threshold: float = 0.0
    n_best: int = 0
    punctuation_words: bool = True

    @classmethod
    def read(cls, directory: Path) -> "InferenceSettings":
        """Read `directory`/inference.json.

        Raises:
            BertlineError: it is missing, or holds other things.
        """
        path = directory / FILE
        value = read_json(path)
        try:
            return cls(**value)
        except TypeError as error:
            fix = "Fine-tune anew with `dvc repro finetune`"
            raise BertlineError(f"not the settings of a fine-tuned model ({error})", where=str(path), fix=fix) from None

    def write(self, directory: Path) -> None:
        """Write `directory`/inference.json."""
        write_json(directory / FILE, asdict(self))
