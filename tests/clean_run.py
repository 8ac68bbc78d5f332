"""A small clean run: real text through the real stages, from download to pre-training, for the gates to look at.

Five tasks, one of each kind; the corpus is the documentation of a few installed packages.
"""

import csv
import random
from pathlib import Path

from bertline.base.artifacts import Artifacts
from bertline.base.config import Documents, Download, Encode, Params, Pretrain, Task, TaskData, Vocab
from bertline.base.download_config import Source
from bertline.base.gate_config import GateCorpus, GatePretrain, GateTask, GateTokens
from bertline.base.params import write_params
from bertline.stages import documents, download, encode, pretrain, task, vocab
from document_shards import read_sentences

TASKS = {
    "topics": Task("classification", TaskData("docs_topic", max_train_rows=600)),
    "pairs": Task("pair", TaskData("docs_pair", max_train_rows=600)),
    "likeness": Task("regression", TaskData("files", train="data/sources/likeness.csv")),
    "names": Task("tagging", TaskData("docs_params", max_train_rows=300)),
    "questions": Task("span", TaskData("docs_qa", max_train_rows=300)),
}
PARAMS = Params(
    download=Download([Source("python-docs:email+logging+numpy+mlflow", licence="as each package")]),
    documents=Documents(decontaminate=False),  # the tasks below are made of the same text, and after it
    gate_corpus=GateCorpus(min_documents=500),
    vocab=Vocab(size=1024),
    encode=Encode(max_tokens_per_character=0.5),
    gate_tokens=GateTokens(max_tokens_per_word=3.0, min_tokens=100_000),
    pretrain=Pretrain(
        sequence_length=32,
        batch_size=32,
        budget=150,
        learning_rate=2e-3,
        precision="fp32",
        threads=1,
        log_every=5,
        evaluate_every=50,
        checkpoint_every=50,
        evaluation_batches=20,
        perplexity_sequences=0,
    ),
    # A run of seconds learns which words go together, and nothing yet of sentences.
    gate_pretrain=GatePretrain(min_gain_over_unigram=0.02, min_accuracy_over_unigram=0.0, min_nsp_accuracy=0.4),
    tasks=TASKS,
    gate_task=GateTask(min_rows=20),
)


def make_clean_run(root: Path) -> Artifacts:
    """Run every stage before the gates; what they write is at most some 20 MB."""
    artifacts = Artifacts(root)
    (artifacts.data / "sources").mkdir(parents=True)
    write_params(artifacts.params, PARAMS, "A clean run.")
    download.run(PARAMS, artifacts)
    documents.run(PARAMS, artifacts)
    _write_likeness(artifacts)
    for name in TASKS:
        task.run(PARAMS, artifacts, name)
    for stage in (vocab, encode, pretrain):
        stage.run(PARAMS, artifacts)
    return artifacts


def _write_likeness(artifacts: Artifacts) -> None:
    """Two sentences and how many words they share, from 0 to 5, as a user's own CSV file."""
    draw = random.Random(5)
    texts = [sentences for batch in read_sentences(artifacts.documents, "train") for sentences in batch][:800]
    with (artifacts.data / "sources" / "likeness.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "text_pair", "label"])
        for number, sentences in enumerate(texts):
            words = sentences[0].split()
            kept = [word for word in words if draw.random() < number % 6 / 5]
            other = " ".join([*kept, *sentences[1].split()])
            likeness = 5 * len(set(kept)) / max(len(set(words)), 1)
            writer.writerow([sentences[0], other, round(likeness + draw.gauss(0, 0.2), 2)])
