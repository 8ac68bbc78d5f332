"""Which builders make the rows of a task, and of what kind: known here, so that params.yaml is refused at once.

The builders themselves stand in tasks/catalog.py; "files", the user's own, makes rows of every kind.
"""

from collections.abc import Mapping

FILES = "files"
KINDS: Mapping[str, str] = {
    **dict.fromkeys(("docs_topic", "cola", "sst2", "imdb", "chnsenticorp"), "classification"),
    **dict.fromkeys(("docs_pair", "mrpc", "qqp", "mnli", "qnli", "rte", "wnli"), "pair"),
    **dict.fromkeys(("stsb",), "regression"),
    **dict.fromkeys(("docs_params", "conll2003"), "tagging"),
    **dict.fromkeys(("docs_qa", "squad", "squad_44", "squad_v2"), "span"),
}
"""Builder -> the kind of its rows."""
