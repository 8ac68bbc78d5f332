"""docs_qa (span): what does this parameter do? The answer stands in the context, as in SQuAD.

The context is the parameter section of a docstring as running text; the answer is the first sentence of the description
of the parameter that the question names, at its offset in characters.
"""

from collections.abc import Sequence

from bertline.base.words import normalised
from bertline.tasks.docs import DOCS_SPLITS, Doc, Split, by_split, shorten, without_repeats
from bertline.tasks.docstrings import Parameter, documented_parameters, split_sentence
from bertline.tasks.hashing import sample, stable_hash
from bertline.tasks.schema import Row

ROWS: dict[Split, int] = {"train": 5000, "validation": 500, "test": 1000}
MAX_CONTEXT = 450
MIN_PARAMETERS, MAX_QUESTIONS = 3, 2
MIN_ANSWER_WORDS = 3
QUESTIONS = (
    "What does the parameter {} do?",
    "What is {}?",
    "What is the argument {} for?",
    "What does {} mean?",
    "How is {} described?",
)


def build(docs: Sequence[Doc]) -> dict[Split, list[Row]]:
    """Rows of each split: at most MAX_QUESTIONS questions on a context of several parameters."""
    contexts = [(doc, rows) for doc in docs if (rows := _rows(doc))]
    parts = by_split(contexts, lambda pair: pair[0].split)
    kept = without_repeats(parts, lambda pair: normalised(pair[1][0]["context"]))
    return {
        split: sample([row for _, rows in kept[split] for row in rows], ROWS[split], lambda row: str(row["id"]))
        for split in DOCS_SPLITS
    }


def _rows(doc: Doc) -> list[Row]:
    context, answers = _context(documented_parameters(doc.text))
    if len(answers) < MIN_PARAMETERS:
        return []
    chosen = sample(sorted(answers), MAX_QUESTIONS, lambda name: f"{doc.id}({name})")
    return [_row(f"{doc.id}({name})", name, context, answers[name]) for name in chosen]


def _row(identity: str, name: str, context: str, start_and_text: tuple[int, str]) -> Row:
    start, text = start_and_text
    question = QUESTIONS[stable_hash("question", identity) % len(QUESTIONS)].format(name)
    return {
        "id": identity,
        "question": question,
        "context": context,
        "answers": [{"text": text, "start": start}],
    }


def _context(parameters: Sequence[Parameter]) -> tuple[str, dict[str, tuple[int, str]]]:
    """The parameters as running text, and name -> (start, text) of what is said first of each."""
    context, answers = "", dict[str, tuple[int, str]]()
    for parameter in parameters:
        sentence, more = split_sentence(parameter.description)
        answer = sentence.rstrip(" .:;,")
        if len(normalised(answer).split()) < MIN_ANSWER_WORDS or parameter.name in answers or "," in parameter.name:
            continue
        head = f"{parameter.name} ({parameter.type})" if parameter.type else parameter.name
        entry = f"{head}: {answer}."
        if len(context) + 1 + len(entry) > MAX_CONTEXT:
            continue
        context += " " * bool(context)
        answers[parameter.name] = (len(context) + len(head) + 2, answer)
        context += entry
        rest = shorten(more, max(0, MAX_CONTEXT - len(context) - 1))
        context += f" {rest}" if rest else ""
    return context, answers
