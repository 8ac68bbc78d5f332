"""The table and the picture of a run on public tasks."""

import io
from typing import Any

from benchmarks.glue import draw, table

AROUND = {"min": 0.5, "max": 0.7, "std": 0.1}
ROW = {
    "rows": 1000,
    "metric": "accuracy",
    "pretrained": 0.6,
    "from_random": 0.55,
    "features": 0.58,
    "majority": 0.5,
    "beyond_seeds": "within",
    "spread": {"pretrained": AROUND, "from_random": AROUND, "features": {"min": 0.58, "max": 0.58, "std": 0.0}},
}
TUNED = ROW | {"tuned": 0.65, "spread": {**ROW["spread"], "tuned": AROUND}}  # type: ignore[dict-item]


def drawn(tasks: dict[str, Any]) -> str:
    written = io.StringIO()
    draw(tasks, [{"step": 0, "mlm_loss": 7.0}, {"step": 1000, "mlm_loss": 4.0}]).savefig(
        written, format="svg", metadata={"Date": None}
    )
    return written.getvalue()


def task(confusion: list[list[Any]]) -> dict[str, Any]:
    return {
        "metric": "f1_macro",
        "epochs": {"pretrained": [[0.5, 0.6]], "from_random": [[0.4, 0.5]]},
        "confusion": confusion,
    }


def test_a_score_of_several_seeds_stands_with_least_and_most() -> None:
    heading, _, first, second = table({"tasks": {"apple": ROW, "zebra": TUNED}}).splitlines()
    named = dict(zip(heading.split(" | "), second.split(" | "), strict=True))
    assert named["tuned"] == "65.0 (50.0 to 70.0)"
    assert (named["frozen features"], named["majority |"]) == ("58.0", "50.0 |")
    assert first == "| apple | 1,000 | accuracy | 60.0 (50.0 to 70.0) | 55.0 (50.0 to 70.0) | no |  | 58.0 | 50.0 |"


def test_every_task_has_its_curves_and_a_matrix_where_it_can_be_read() -> None:
    many = [[f"actual {number}", f"actual {number + 1}", 7777] for number in range(12)]
    labels = [["yes", "yes", 4321], ["no", "yes", 21]]
    answers = [["answer", "exact", 765], ["answer", "no words", 43]]
    picture = drawn({"apple": task(labels), "crowd": task(many), "zebra": task(answers)})
    assert drawn({"apple": task(labels), "crowd": task(many), "zebra": task(answers)}) == picture
    assert [picture.count(f">{name}: f1 macro<") for name in ("apple", "crowd", "zebra")] == [1, 1, 1]
    assert [picture.count(f">{name}<") for name in ("apple", "crowd", "zebra")] == [1, 0, 1]
    assert [picture.count(f">{cell}<") for cell in ("4,321", "21", "765", "43", "7,777")] == [1, 1, 1, 1, 0]
    assert picture.count(">answer<") == 1  # it is no prediction, and so no column
