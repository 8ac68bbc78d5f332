"""What is taken for what, by kind of task."""

from pathlib import Path

from dvc_render.vega import VegaRenderer

from bertline.evaluation.confusion import confusion, read_confusion, write_confusion


def test_labels_are_paired_in_the_order_of_the_rows() -> None:
    rows = [{"label": "a"}, {"label": "b"}]
    assert list(confusion("classification", rows, [{"label": "b"}, {"label": "b"}])) == [("a", "b"), ("b", "b")]


def test_words_outside_on_both_sides_are_left_out() -> None:
    pairs = confusion("tagging", [{"tags": ["O", "O", "B-X"]}], [{"tags": ["O", "B-X", "O"]}])
    assert list(pairs) == [("O", "B-X"), ("B-X", "O")]


def test_answers_are_exact_partial_or_wrong() -> None:
    rows = [{"answers": [{"text": "red cat", "start": 0}]}] * 3 + [{"answers": []}]
    guesses = [{"answer": text} for text in ("The red cat", "cat", "dog", "dog")]
    assert [outcome for _, outcome in confusion("span", rows, guesses)] == ["exact", "partial", "wrong", "wrong"]
    assert [actual for actual, _ in confusion("span", rows, guesses)] == ["answer"] * 3 + ["no answer"]


def test_values_are_rounded_to_whole_numbers() -> None:
    assert list(confusion("regression", [{"label": 4.6}], [{"value": -0.7}])) == [("5", "-1")]


def test_a_value_just_below_zero_is_the_same_category_as_zero() -> None:
    assert list(confusion("regression", [{"label": -0.3}], [{"value": 0.2}])) == [("0", "0")]
    assert list(confusion("regression", [{"label": 0.0}], [{"value": -0.4}])) == [("0", "0")]


def test_the_file_is_csv_with_a_heading_and_quotes_where_needed(tmp_path: Path) -> None:
    write_confusion(tmp_path / "confusion.csv", [("a", "b"), ('say "x", y', "c")])
    assert (tmp_path / "confusion.csv").read_text() == 'actual,predicted\na,b\n"say ""x"", y",c\n'


def test_no_label_ends_the_script_of_the_page_that_dvc_draws(tmp_path: Path) -> None:
    """What follows in the label would be run in the browser of whoever looks at the plots of somebody's data."""
    write_confusion(tmp_path / "confusion.csv", [("</Script><script>alert(1)</script>", "</b>")])
    ((label, other),) = read_confusion(tmp_path / "confusion.csv")
    page = VegaRenderer([{"actual": label, "predicted": other}], "c.csv", template="confusion").generate_html()
    assert "alert(1)" in page and page.lower().count("</script>") == 1
    assert (label.replace("\u200b", ""), other) == ("</Script><script>alert(1)</script>", "</b>")
