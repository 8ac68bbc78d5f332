"""The nine tasks of GLUE (Wang et al. 2019, https://gluebenchmark.com) and its diagnostics, from the official files.

The dev rows are scored: they are the test rows here, for the official test rows have no labels. Those are kept apart,
for a submission (inference/submission.py). Validation rows are cut from the training rows.
"""

from collections.abc import Mapping

from bertline.tasks.glue_tables import Layout, read_mrpc
from bertline.tasks.published import Benchmark, PublishedFile

_DATA = "https://dl.fbaipublicfiles.com/glue/data"
_PARAPHRASES = "https://dl.fbaipublicfiles.com/senteval/senteval_data"
_ENTAILMENT = {"0": "not_entailment", "1": "entailment"}
_COLA = ("source", "label", "mark", "sentence")

_LAYOUTS = {
    "cola": Layout(
        "sentence",
        "",
        labels={"0": "unacceptable", "1": "acceptable"},
        submission={"CoLA": "test.tsv"},
        heading=_COLA,
    ),
    "sst2": Layout("sentence", "", labels={"0": "negative", "1": "positive"}, submission={"SST-2": "test.tsv"}),
    "stsb": Layout(label="score", labels=None, submission={"STS-B": "test.tsv"}),
    "qqp": Layout(
        "question1",
        "question2",
        "is_duplicate",
        {"0": "not_duplicate", "1": "duplicate"},
        submission={"QQP": "test.tsv"},
        drop_short=True,
        drop_empty=True,  # two have no second question: ids 310137 and 362246, huggingface/datasets#277
    ),
    "mnli": Layout(
        label="gold_label",
        labels={label: label for label in ("contradiction", "entailment", "neutral")},
        dev={"test": "dev_matched.tsv", "test_mismatched": "dev_mismatched.tsv"},
        submission={"MNLI-m": "test_matched.tsv", "MNLI-mm": "test_mismatched.tsv"},
    ),
    "qnli": Layout("question", "sentence", submission={"QNLI": "test.tsv"}),
    "rte": Layout(submission={"RTE": "test.tsv"}),
    "wnli": Layout(labels=_ENTAILMENT, submission={"WNLI": "test.tsv"}),
}


def _zip(name: str, size: int, *sha256: str) -> dict[str, PublishedFile]:
    return {"zip": PublishedFile.at(f"{_DATA}/{name}", size, *sha256)}


# Second hashes are of the same tables in zips of their own, without the sources that the official ones carry along.
GLUE: Mapping[str, Benchmark] = {
    "cola": Benchmark(
        "CoLA (GLUE)",
        "classification",
        _zip(
            "CoLA.zip",
            376_971,
            "f212fcd832b8f7b435fb991f101abf89f96b933ab400603bf198960dfc32cbff",
            "e2c126993c140900c1f16175270fdaf875e7a73aed2588ad8e77a305481685a3",
        ),
        _LAYOUTS["cola"].read,
        {"train": 8551, "test": 1043, "CoLA": 1063},
        ("matthews", "accuracy"),
    ),
    "sst2": Benchmark(
        "SST-2 (GLUE)",
        "classification",
        _zip(
            "SST-2.zip",
            7_439_277,
            "d67e16fb55739c1b32cdce9877596db1c127dc322d93c082281f64057c16deaa",
            "6c27408707068fd71063a1b22959ae51ef5f361430dac04a150bba9ba31cfe89",
        ),
        _LAYOUTS["sst2"].read,
        {"train": 67_349, "test": 872, "SST-2": 1821},
        ("accuracy",),
    ),
    "mrpc": Benchmark(
        "MRPC (GLUE)",
        "pair",
        {
            "train": PublishedFile.at(
                f"{_PARAPHRASES}/msr_paraphrase_train.txt",
                1_047_044,
                "60a9b09084528f0673eedee2b69cb941920f0b8cd0eeccefc464a98768457f89",
            ),
            "test": PublishedFile.at(
                f"{_PARAPHRASES}/msr_paraphrase_test.txt",
                441_275,
                "a04e271090879aaba6423d65b94950c089298587d9c084bf9cd7439bd785f784",
            ),
            "dev_ids": PublishedFile.at(
                f"{_DATA}/mrpc_dev_ids.tsv",
                6222,
                "971d7767d81b997fd9060ade0ec23c4fc31cbb226a55d1bd4a1bac474eb81dc7",
            ),
        },
        read_mrpc,
        {"train": 3668, "test": 408, "MRPC": 1725},
        ("f1", "accuracy"),
        "equivalent",
    ),
    "stsb": Benchmark(
        "STS-B (GLUE)",
        "regression",
        _zip(
            "STS-B.zip",
            802_872,
            "e60a6393de5a8b5b9bac5020a1554b54e3691f9d600b775bd131e613ac179c85",
            "c37b4d9580761a989465a4dcd500ea6d3f3539fac1d7f2f5d2eb12fcc7f608b8",
        ),
        _LAYOUTS["stsb"].read,
        {"train": 5749, "test": 1500, "STS-B": 1379},
        ("spearman", "pearson"),
    ),
    "qqp": Benchmark(
        "QQP (GLUE)",
        "pair",
        _zip(
            "QQP-clean.zip",
            41_696_084,
            "40e7c862c04eb26ee04b67fd900e76c45c6ba8e6d8fab4f8f1f8072a1a3fbae0",
        ),
        _LAYOUTS["qqp"].read,
        {"train": 363_846, "test": 40_430, "QQP": 390_965},
        ("f1", "accuracy"),
        "duplicate",
    ),
    "mnli": Benchmark(
        "MNLI (GLUE)",
        "pair",
        {
            "zip": PublishedFile.at(
                f"{_DATA}/MNLI.zip",
                312_783_507,
                "e7c1d896d26ed6caf700110645df426cc2d8ebf02a5ab743d5a5c68ac1c83633",
            ),
            "AX": PublishedFile.at(
                f"{_DATA}/AX.tsv", 222_257, "0e13510b1bb14436ff7e2ee82338f0efb0133ecf2e73507a697dc210db3f05fd"
            ),
        },
        _LAYOUTS["mnli"].read,
        {"train": 392_702, "test": 9815, "test_mismatched": 9832, "MNLI-m": 9796, "MNLI-mm": 9847, "AX": 1104},
        ("accuracy",),
    ),
    "qnli": Benchmark(
        "QNLI (GLUE)",
        "pair",
        _zip(
            "QNLIv2.zip",
            10_627_589,
            "e634e78627a29adaecd4f955359b22bf5e70f2cbd93b493f2d624138a0c0e5f5",
        ),
        _LAYOUTS["qnli"].read,
        {"train": 104_743, "test": 5463, "QNLI": 5463},
        ("accuracy",),
    ),
    "rte": Benchmark(
        "RTE (GLUE)",
        "pair",
        _zip(
            "RTE.zip",
            697_150,
            "6bf86de103ecd335f3441bd43574d23fef87ecc695977a63b82d5efb206556ee",
            "79f6d9db41980bb2e02fd240e620e87295d2225cc67e5e336366d898db9487bd",
        ),
        _LAYOUTS["rte"].read,
        {"train": 2490, "test": 277, "RTE": 3000},
        ("accuracy",),
    ),
    "wnli": Benchmark(
        "WNLI (GLUE)",
        "pair",
        _zip(
            "WNLI.zip",
            28_999,
            "ae0e8e4d16f4d46d4a0a566ec7ecceccfd3fbfaa4a7a4b4e02848c0f2561ac46",
            "94340f7b4c09213821ac3fb2bd544e8b825134eb32b0cd3d3508df1ff884ef73",
        ),
        _LAYOUTS["wnli"].read,
        {"train": 635, "test": 71, "WNLI": 146},
        ("accuracy",),
    ),
}

_BY_NUMBER = {"cola": "CoLA", "sst2": "SST-2", "qqp": "QQP", "wnli": "WNLI"}
_WORDS = {label: label for label in ("entailment", "neutral", "contradiction")}
_TWO_WORDS = {label: label for label in ("not_entailment", "entailment")}

SERVER_LABELS: Mapping[str, Mapping[str, str]] = {
    **{
        file: {ours: theirs for theirs, ours in (_LAYOUTS[name].labels or {}).items()}
        for name, file in _BY_NUMBER.items()
    },
    "MRPC": {"not_equivalent": "0", "equivalent": "1"},
    "STS-B": {},
    **dict.fromkeys(("MNLI-m", "MNLI-mm", "AX"), _WORDS),
    **dict.fromkeys(("QNLI", "RTE"), _TWO_WORDS),
}
"""File of a submission -> our label -> what the server calls it; none for STS-B, whose answers are numbers."""
