"""docs_params (tagging): which words name a parameter, and which give its type?

The parameters of a docstring become running text, `name type description` after one another:

    axis   int    optional the axis along which …
    B-NAME B-TYPE I-TYPE   O   O    O     O

What would give the answer away is taken out: the colon after the name, commas, brackets and quotes around words, stops
at the end of sentences, and the capital a description begins with.
"""

from collections.abc import Iterator, Sequence

from bertline.base.words import normalised
from bertline.tasks.docs import DOCS_SPLITS, Doc, Split, by_split, without_repeats
from bertline.tasks.docstrings import Parameter, documented_parameters, split_sentence, summary_and_description
from bertline.tasks.hashing import sample
from bertline.tasks.schema import Row

ROWS: dict[Split, int] = {"train": 3000, "validation": 500, "test": 1000}
MAX_WORDS = 60
MAX_TYPE_WORDS = 12
MAX_DESCRIPTION_WORDS = 16
MIN_PARAMETERS = 2
_EDGES = "`'\".,:;()[]{}<>*|\\!?~“”‘’"

Tagged = tuple[str, str]


def build(docs: Sequence[Doc]) -> dict[Split, list[Row]]:
    """Rows of each split: the first parameters of a docstring, two at least, with a type among them."""
    rows = [(doc.split, row) for doc in docs if (row := _row(doc))]
    parts = by_split(rows, lambda pair: pair[0])
    kept = without_repeats(parts, lambda pair: normalised(" ".join(pair[1]["words"])))
    return {
        split: sample([row for _, row in kept[split]], ROWS[split], lambda row: str(row["id"])) for split in DOCS_SPLITS
    }


def _row(doc: Doc) -> Row | None:
    tagged: list[Tagged] = []
    used = 0
    for parameter in documented_parameters(doc.text):
        entry = list(_entry(parameter))
        if not entry:
            continue
        if used and len(tagged) + len(entry) > MAX_WORDS:
            break
        tagged += entry
        used += 1
    if used < MIN_PARAMETERS or all(tag != "B-TYPE" for _, tag in tagged):
        return None
    tagged = [(word, "O") for word in words(summary_and_description(doc.text)[0])][:MAX_DESCRIPTION_WORDS] + tagged
    return {"id": doc.id, "words": [word for word, _ in tagged], "tags": [tag for _, tag in tagged]}


def _entry(parameter: Parameter) -> Iterator[Tagged]:
    """The words of one parameter with their tags; nothing if it has no description or an endless type."""
    kind, description = words(parameter.type), words(split_sentence(parameter.description)[0])
    if not description or len(kind) > MAX_TYPE_WORDS:
        return
    for name in words(parameter.name.replace(",", " ")):
        yield name, "B-NAME"
    for place, word in enumerate(kind):
        yield word, "I-TYPE" if place else "B-TYPE"
    for place, word in enumerate(description[:MAX_DESCRIPTION_WORDS]):
        capital = not place and word[:1].isupper() and not any(letter.isupper() for letter in word[1:])
        yield word.lower() if capital else word, "O"


def words(text: str) -> list[str]:
    """The words of a text, without punctuation around them; what is nothing but punctuation is left out."""
    return [word for part in text.split() if (word := part.strip(_EDGES)) and any(map(str.isalnum, word))]
