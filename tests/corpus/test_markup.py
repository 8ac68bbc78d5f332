"""Markup and boilerplate: what goes, what stays, each counted, and no text that breaks it."""

from collections import Counter
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertline.corpus.boilerplate import line_fault, without_bullet
from bertline.corpus.clean import normalise
from bertline.corpus.markup import without_markup


@pytest.mark.parametrize(
    ("text", "clean", "rule"),
    [
        ("Salt &amp; pepper&nbsp;here.", "Salt & pepper here.", "entities"),
        ("Line one&lt;br&gt;line two.", "Line one line two.", "tags"),
        ('A <b>bold</b> word<ref name="x">Smith 2001</ref>.', "A bold word .", "tags"),
        ("See [[Earth|the Earth]] and [[Mars]].", "See the Earth and Mars.", "links"),
        ("[[Category:Planets]]", "", "links"),
        ("(1978)]] While small programs have existed.", "While small programs have existed.", "captions"),
        ("He left three children.{{#tag:ref|These were Al", "He left three children.", "templates"),
        ("a {{small|{{nested}}}} word", "a word", "templates"),
        ("'''Emma Iozzelli''' is a skier.", "Emma Iozzelli is a skier.", "emphasis"),
        ("麗水-{里}-與-{zh-hans:数码;zh-hant:數碼}-", "麗水里與数码", "conversions"),
        (
            "AARHUS (, also,; officially spelled ÅRHUS) is a city.",
            "AARHUS (also,; officially spelled ÅRHUS) is a city.",
            "brackets",
        ),
        ("《妄想女友》（）是電視劇。", "《妄想女友》是電視劇。", "brackets"),
        ("It was so.[12] Then not.", "It was so. Then not.", "citations"),
        ("|Map of X (1).jpg|thumb|A map", "|A map", "magic"),
        ("a|b pre.fix name.SVG|y", "a|b y", "magic"),
        ("__NOTOC__The ratio formula_12 is", "The ratio is", "magic"),
        ('<a href="x">A</a><br />[//x.org  its label]', "A its label", "tags"),
    ],
)
def test_remains_of_markup_go_and_are_counted(text: str, clean: str, rule: str) -> None:
    counts: Counter[str] = Counter()
    assert normalise(without_markup(text, counts)) == clean
    assert counts[f"markup_{rule}"] > 0


@pytest.mark.parametrize(
    "text",
    [
        "if a<b and c>d then",
        "He said (and meant) it.",
        "AT&T; R&D",
        "x [see above] y",
        "{1, 2, 3} is a set",
        "f(x) | g(x)",
        "a|.png|b",
        "Python runs __init__ after __new__, where __name__ is set.",
    ],
)
def test_what_only_looks_like_markup_stays(text: str) -> None:
    assert without_markup(text, Counter()) == text


@settings(deadline=2000)  # milliseconds; what a text of 80 characters may take beside other work
@given(st.text(st.sampled_from(list("a b<>[]{}|&;'-(),=/:#_.\n（）zh")), max_size=80))
def test_no_text_breaks_the_rules(text: str) -> None:
    line = without_bullet(normalise(without_markup(text, Counter())))
    assert line_fault(line) is not None


@pytest.mark.parametrize(
    "text",
    [
        "so then they said to their friend that they should go " * 4000 + "| away [laughs]",
        "Signed: " + "_" * 200_000,
        "a .b" * 50_000 + ".jpg",
        "[(" + " " * 200_000 + "x",
        "<a " + "k=v " * 50_000,
        "[//a" + " " * 200_000,
        "<ref>x " * 30_000,
        "</math><ref>x <svg>" * 15_000 + "</script>",
    ],
    ids=[
        "words and a bar",
        "underscores",
        "names",
        "a bracket and blanks",
        "a tag without its end",
        "an address",
        "references",
        "elements",
    ],
)
def test_a_long_text_takes_no_longer_than_its_length(text: str) -> None:
    """Rules that look back at each letter took minutes for the tenth of these."""
    start = process_time()
    without_markup(text, Counter())
    assert process_time() - start < 5


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("See also", "section"),
        ("外部連結", "section"),
        ("== History ==", "heading"),
        ("Category:1912 births", "category"),
        ("Home | News | Sport | Weather | Contact", "navigation"),
        ("| opinion=Thomas || type=dissent || link=2016", "table"),
        ("CHAPTER XII", "list"),
        ("All rights reserved.", "boilerplate"),
        ("size_t operator()(const X& x) const {", "code"),
        ("This eBook is from Project Gutenberg, under its License.", "licence"),
        ("'Yes,' he said.", ""),
        ("Really?", ""),
        ("I wonder if it seems to you, Luriana, Lurilee", ""),
        ("She read more than he did.", ""),
        ("|FOR reasons best known to herself, Marilla did not tell Anne.", ""),
        ("最佳射手。", ""),
    ],
)
def test_lines_that_are_no_text_are_dropped_by_name(line: str, fault: str) -> None:
    assert line_fault(line) == fault


@pytest.mark.parametrize(
    "line",
    [
        "„Das ist gut.“",
        "»Das ist gut.«",
        "›Wirklich?‹",
        "‚Ja!‘",
        "« Oui. »",
        "वह घर गया।",
        "कौन है॥",
        "من هو؟",
        "نعم، ولكن؛",
        "یہ اچھا ہے۔",
        "Նա գնաց տուն։",
        "እሱ ሄደ።",
        "သူ သွားသည်။",
        "គាត់ ទៅ ផ្ទះ។",
        "《いいえ。》",
        "はい｡",
    ],
)
def test_a_short_paragraph_that_ends_as_its_language_ends_one_is_no_list(line: str) -> None:
    assert line_fault(line) == ""


@pytest.mark.parametrize(
    "line",
    [
        "die Verarbeitung personenbezogener Daten durch Mitglieder der Müller GmbH;",
        "weitere Dateien, die im Parameter all_extras aufgeführt sind, werden ebenfalls hinzugefügt;",
        "l'utiliser comme périphérique RAID (voir plus loin dans ce chapitre) ;",
        "обновление базы данных для программы locate;",
        "un «contact» es una persona que puede recibir alertas;",
        "the member(s) of the board and their eBay accounts;",
        "services as referred to in Article 3(2);",
        "Πού είναι το βιβλίο\N{GREEK QUESTION MARK}",
    ],
)
def test_an_item_of_a_list_that_ends_in_a_semicolon_is_text(line: str) -> None:
    assert line_fault(normalise(line)) == ""


@pytest.mark.parametrize(
    "line",
    [
        'printf("hello");',
        "int i;",
        "int x = 5;",
        "self->value += other;",
        "do_something(a, b) ;",
        "foo();",
        "std::cout << x;",
        "static const char my_name;",
        "callFunction(argument);",
        "return;",
        "array[0];",
        "if (x) {",
    ],
)
def test_a_line_with_a_second_sign_of_code_is_code(line: str) -> None:
    assert line_fault(line) == "code"


def test_bullets_go() -> None:
    assert without_bullet("* A note of some length.") == "A note of some length."
    assert without_bullet("-5 degrees were measured.") == "-5 degrees were measured."
