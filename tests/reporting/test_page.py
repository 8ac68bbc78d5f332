"""The report: whole in itself, and no text of the data is ever markup."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest

from bertline.evaluation.scoreboard import COLUMNS
from bertline.reporting.charts import Series, line_chart, reliability_diagram
from bertline.reporting.page import TaskReport, render_page

EVIL = '<script>alert("1")</script>&\'<img src=x onerror=alert(1)>'
STEPS = [{"step": step, "mlm_loss": 7 - step / 100, "mlm_accuracy": step / 500} for step in range(0, 101, 10)]


def scoreboard(task: str) -> dict[str, Any]:
    pretraining = {
        "parameters": 1_552_898, "trained_tokens": 4096, "steps": 100, "mlm_loss": 4.25, "mlm_accuracy": 0.3,
    }  # fmt: skip
    row = {
        "kind": "classification", "rows": 1234, "metric": "accuracy", "seeds": 2, "pretrained": 0.75,
        "from_random": 0.5, "tfidf": 0.875, "spread": {"pretrained": {"min": 0.7, "max": 0.8, "std": 0.1}},
        "gain": 0.25, "beyond_seeds": "above", "ahead": ["tfidf"], "others": {"f1_macro": 0.625},
    }  # fmt: skip
    return {"pretraining": pretraining, "tasks": {task: row}}


def report(name: str = "topic", text: str = "a text", label: str = "yes") -> TaskReport:
    metrics = {
        "metric": "accuracy",
        "rows": 1234,
        "kept": {"pretrained": 1},
        "seeds": {
            "pretrained": {"0": {"accuracy": 0.25, "f1_macro": 0.125}, "1": {"accuracy": 0.75, "f1_macro": 0.625}}
        },
        "intervals": {"pretrained": {"accuracy": [0.7031, 0.7969]}},
    }
    part = {"slice": label, "rows": 617, "scores": {"accuracy": 0.8125}}
    mistake = {
        "id": text,
        "texts": [[text, text]],
        "actual": label,
        "predicted": text,
        "confidence": 0.9876,
        "by": 0.9876,
    }
    bins = [{"low": 0.9, "high": 1.0, "rows": 1234, "confidence": 0.95, "accuracy": 0.75}]
    analysis = {
        "calibration": {"expected_calibration_error": 0.203, "bins": bins},
        "slices": [{"by": text, "metrics": ["accuracy"], "slices": [part]}],
        "mistakes": [mistake],
    }
    curve = [
        {
            "step": step,
            "epoch": step / 10,
            "pretrained_loss": 1 - step / 20,
            "pretrained_validation_loss": 0.5 if step == 10 else None,
        }
        for step in range(1, 11)
    ]
    return TaskReport(name, metrics, analysis, curve, [(label, label), (label, text), (text, text)])


def page(**options: str) -> str:
    made = report(**options)
    return render_page(scoreboard(made.name), STEPS, STEPS[::5], [made])


class Tags(HTMLParser):
    """Every tag with its attributes, and whether all are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "link", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_has_all_that_was_measured() -> None:
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"</?(b|em)>", "", page())))
    for shown in (
        "1,552,898", "4.250 nats", "0.750 (0.700 to 0.800)", "Better than pre-trained: TF-IDF on topic.",
        "(seed 1) on 1,234 test rows: accuracy 0.750 (95 % interval 0.703 to 0.797); macro F1 0.625.",
        "Fine-tuning loss", "MLM loss (nats)",
        "Expected calibration error 0.203", "617 0.812", "98.8% sure",
    ):  # fmt: skip
        assert shown in text, shown


def test_no_sign_of_markdown_is_left_in_what_the_page_explains() -> None:
    """Its legend and remarks are those of scoreboard.md."""
    said = re.sub(r"<style>.*?</style>", "", page(), flags=re.DOTALL)
    assert "<code>transfer</code>" in said
    assert not re.findall(r"`|\*\w|\w\*", said)


def test_the_page_fetches_nothing_and_runs_nothing() -> None:
    tags = Tags(page())
    assert not tags.open
    names = {name for name, _ in tags.found}
    assert not names & {"script", "link", "img", "iframe", "object", "image", "use"}
    for name, attributes in tags.found:
        assert not any(key.startswith("on") or key in ("src", "srcset", "xlink:href") for key in attributes), name
        assert (attributes.get("href") or "#").startswith("#")
    assert "url(" not in page()
    assert "@import" not in page()


@pytest.mark.parametrize("where", ["name", "text", "label"])
def test_text_of_the_data_is_never_markup(where: str) -> None:
    assert [name for name, _ in Tags(page(**{where: EVIL})).found] == [
        name for name, _ in Tags(page(**{where: "plain"})).found
    ]
    assert "&lt;script&gt;" in page(**{where: EVIL})
    assert "<script" not in page(**{where: EVIL})


def test_every_colour_of_a_page_with_all_starts_has_a_rule_and_a_value_in_both_schemes() -> None:
    curve = [{"step": 1} | {f"{start}_loss": 0.5 for start in COLUMNS}]
    text = render_page(scoreboard("topic"), STEPS, STEPS, [replace(report(), curve=curve)])
    style, _, body = text.partition("</style>")
    used = set(re.findall(r'class="[^"]*\bc(\d+)\b', body))
    assert used == {"0", "1", "2", "3", "4"}
    for colour in used:
        assert f".c{colour} {{ stroke: var(--c{colour}) }}" in style
        assert len(re.findall(rf"--c{colour}: #", style)) == 2, "light and dark"


def test_a_start_with_smaller_batches_has_as_many_steps_more_in_an_epoch() -> None:
    """The rows of a curve have the epoch of the first start: a tuned one may take twice as many steps for it."""
    ends = {("pretrained", 4), ("pretrained", 8), ("tuned", 8), ("tuned", 16)}
    curve = [
        {"step": step, "epoch": step / 4}
        | {f"{start}_loss": 1 / step for start, last in (("pretrained", 8), ("tuned", 16)) if step <= last}
        | {f"{start}_validation_loss": 0.5 for start in ("pretrained", "tuned") if (start, step) in ends}
        for step in range(1, 17)
    ]
    text = render_page(scoreboard("topic"), STEPS, STEPS, [replace(report(), curve=curve)])
    chart = text.partition("Fine-tuning loss")[2].partition("</figure>")[0]
    lines = re.findall(r'polyline points="([^"]+)" class="line ([^"]+)"', chart)
    last = {style: points.split()[-1].partition(",")[0] for points, style in lines}
    assert set(last) == {"c0", "c0 dashed", "c2", "c2 dashed"}
    assert len(set(last.values())) == 1, "both were trained for two epochs"


def lines_of(text: str, title: str) -> dict[str, int]:
    """Style -> points of each line of the chart with this title."""
    chart = text.partition(f"<figcaption>{title}</figcaption>")[2].partition("</figure>")[0]
    lines = re.findall(r'polyline points="([^"]+)" class="line ([^"]+)"', chart)
    assert len({style for _, style in lines}) == len(lines)
    return {style: len(points.split()) for points, style in lines}


def test_every_line_has_the_points_of_its_own_figure() -> None:
    counts = {
        **{"pretrained_loss": 9, "pretrained_validation_loss": 8, "pretrained_validation_score": 7},
        **{"from_random_loss": 6, "from_random_validation_loss": 5, "from_random_validation_score": 4},
    }
    curve = [{"step": step} | {key: 0.5 for key, count in counts.items() if step <= count} for step in range(1, 10)]
    text = render_page(scoreboard("topic"), STEPS, STEPS[::5], [replace(report(), curve=curve)])
    assert lines_of(text, "MLM loss (nats)") == {"c0": len(STEPS), "c1 dashed": len(STEPS[::5])}
    legend = text.partition("<figcaption>Fine-tuning loss</figcaption>")[2].partition('class="legend"')[2]
    named = re.findall(r'class="line ([^"]+)"/></svg>([^<]+)<', legend.partition("</figure>")[0])
    assert named == [
        ("c0", f"{COLUMNS['pretrained']}, training"),
        ("c0 dashed", f"{COLUMNS['pretrained']}, validation"),
        ("c1", f"{COLUMNS['from_random']}, training"),
        ("c1 dashed", f"{COLUMNS['from_random']}, validation"),
    ]
    assert lines_of(text, "Fine-tuning loss") == {"c0": 9, "c0 dashed": 8, "c1": 6, "c1 dashed": 5}
    assert lines_of(text, "Validation accuracy") == {"c0 dashed": 7, "c1 dashed": 4}


def confusion_of(pairs: list[tuple[str, str]]) -> tuple[list[str], dict[str, list[tuple[str, str]]]]:
    """The columns of the matrix, and of each row its cells: (share of the row, count)."""
    text = render_page(scoreboard("topic"), STEPS, STEPS, [replace(report(), confusion=pairs)])
    head, body = text.partition('class="confusion"')[2].partition("</table>")[0].split("<tbody>")
    rows = re.findall(r"<tr><th>(.+?)</th>(.+?)</tr>", body)
    cells = {name: re.findall(r'<td style="--share:([\d.]+)">(.*?)</td>', row) for name, row in rows}
    return re.findall(r"<th>([^<]+)</th>", head), cells


def test_a_row_of_the_confusion_is_what_is_right_and_a_column_what_was_said() -> None:
    columns, rows = confusion_of([("no", "no")] * 2 + [("yes", "no")] * 3 + [("yes", "yes")] + [("maybe", "no")])
    assert columns == ["maybe", "no", "yes"]  # also what was never said, in the order of the rows
    assert rows == {
        "maybe": [("0.0", ""), ("1.0", "1"), ("0.0", "")],
        "no": [("0.0", ""), ("1.0", "2"), ("0.0", "")],
        "yes": [("0.0", ""), ("0.75", "3"), ("0.25", "1")],
    }
    columns, rows = confusion_of([("answer", "exact"), ("answer", "wrong"), ("no answer", "exact")])
    assert (columns, list(rows)) == (["exact", "wrong"], ["answer", "no answer"])


def test_text_from_right_to_left_has_a_direction_of_its_own() -> None:
    hebrew = "שלום (עולם)."
    shown = page(text=hebrew)
    assert shown.count(f"<bdi>{hebrew}</bdi>") == 2  # the text of a mistake, and what was said


def test_links_of_the_page_lead_to_its_sections() -> None:
    tags = Tags(page()).found
    wanted = {str(attributes["href"])[1:] for name, attributes in tags if name == "a"}
    assert wanted == {"scoreboard", "pretraining", "task-topic"}
    assert wanted <= {attributes.get("id") for _, attributes in tags}


def test_pre_training_alone_makes_a_page_too() -> None:
    text = render_page(scoreboard("x") | {"tasks": {}}, STEPS, STEPS, [])
    assert "Pre-training" in text
    assert "Scoreboard" not in text


def test_a_task_without_probabilities_and_without_mistakes_has_a_page_too() -> None:
    analysis = {"slices": [], "mistakes": []}
    text = render_page(scoreboard("topic"), STEPS, STEPS, [replace(report(), analysis=analysis)])
    assert "Calibration" not in text
    assert "<h3>Worst mistakes</h3>\n<p>None.</p>" in text


def test_of_many_labels_the_rarest_are_one_row_of_the_confusion() -> None:
    pairs = [(f"label{n:02}", f"label{n:02}") for n in range(40) for _ in range(60 - n)]
    text = render_page(scoreboard("topic"), STEPS, STEPS, [replace(report(), confusion=pairs)])
    confusion = text.partition('class="confusion"')[2].partition("</table>")[0]
    assert "label15" in confusion
    assert "label16" not in confusion
    assert "(others)" in confusion
    assert f"{sum(60 - n for n in range(16, 40)):,}" in confusion
    meaning = "(others): the rarer ones; where they meet themselves, one taken for another of them counts too."
    assert meaning in text
    assert meaning not in page()


def coordinates(svg: str) -> list[tuple[float, float]]:
    (points,) = re.findall(r'polyline points="([^"]+)"', svg)
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in points.split())]


def test_a_line_rises_where_its_values_do_and_stays_in_the_picture() -> None:
    places = coordinates(line_chart([Series("a", [(0, 1.0), (5, 3.0), (10, 2.0)], 0)], "step"))
    (x0, y0), (x1, y1), (x2, y2) = places
    assert 0 <= x0 < x1 < x2 <= 460
    assert x1 == pytest.approx((x0 + x2) / 2, abs=0.1)
    assert 0 <= y1 < y2 < y0 <= 260  # down is larger in a picture
    assert y2 == pytest.approx((y0 + y1) / 2, abs=0.1)


@pytest.mark.parametrize("values", [(0.8912, 0.8914), (3.24411, 3.24423), (1_000_000, 12_345_678), (60_010, 60_013)])
def test_the_names_of_an_axis_tell_its_lines_apart(values: tuple[float, float]) -> None:
    chart = line_chart([Series("a", list(enumerate(values)), 0)], "step")
    names = re.findall(r'class="end">([^<]+)<', chart)
    numbers = [float(name.replace(",", "").removesuffix("k")) for name in names]
    assert len(names) >= 2
    steps = {round(second - first, 9) for first, second in pairwise(numbers)}
    assert len(steps) == 1, names
    assert min(steps) > 0


@pytest.mark.parametrize("points", [[(0.0, 0.0)], [(1.0, 5.0), (2.0, 5.0)], [(0.0, 1e-9), (1.0, 3e9)]])
def test_odd_lines_are_drawn_too(points: list[tuple[float, float]]) -> None:
    assert len(coordinates(line_chart([Series("a", points, 0)], "step"))) == len(points)


def test_without_points_there_is_no_chart() -> None:
    assert not line_chart([Series("a", [], 0)], "step")


def test_a_bar_of_the_reliability_diagram_is_as_high_as_the_accuracy() -> None:
    bins = [
        {"low": 0.5, "high": 0.6, "rows": 10, "confidence": 0.55, "accuracy": 0.25},
        {"low": 0.9, "high": 1.0, "rows": 20, "confidence": 0.97, "accuracy": 1.0},
    ]
    bars = re.findall(
        r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)" height="([\d.]+)" class="bar"', reliability_diagram(bins)
    )
    (left, width, height), (next_left, next_width, next_height) = [[float(value) for value in bar] for bar in bars]
    assert (height, next_height) == (pytest.approx(next_height / 4), 220)
    assert width == next_width == pytest.approx(220 / 10, abs=2)
    assert next_left - left == pytest.approx(220 * 0.4)
