"""What should not be left in clean text, sign by sign: for RE2, which finds it, and for `re`, which shows it."""

import re

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from bertline.validation.patterns import CONTROL, MARKUP, MOJIBAKE


def found(pattern: str, text: str) -> bool:
    (by_arrow,) = pc.match_substring_regex(pa.array([text]), pattern).to_pylist()
    assert by_arrow == bool(re.search(pattern, text))
    return bool(by_arrow)


@pytest.mark.parametrize(
    "text",
    [
        *("a <b>word", "a word</B>", 'see <a href="x">here', "one<br/>two", "one <hr /> two", "<H1>Title"),
        *("this &amp; that", "one&nbsp;two", "1 &lt; 2", "&lsquo;quoted&rdquo;", "a &mdash; b", "a &ndash; b"),
        *("it&#39;s", "a &#8212; b", "a &#x2014; b", "a &#X2014; b"),
        *("[[Category]]", "see [[a page|here]]", "{{cite web}}", "a '''bold''' word"),
        *("<!-- a remark", "of a remark --> text", '{| class="wikitable"', "  |- style"),
    ],
)
def test_markup_is_told_by_any_of_its_signs(text: str) -> None:
    assert found(MARKUP, text)


@pytest.mark.parametrize(
    "text",
    [
        *("the <module> that", "<class 'int'>", "a < b > c", "<bold>", "a -> b", "a <- b --", "it''s", "a | b"),
        *("x[[0, 1], [2, 3]]", "x[[ 1 ]]", "{{}}", "AT&T; and", "&c.", "a & b;", "text {| in a line"),
    ],
)
def test_what_only_looks_like_markup_is_none(text: str) -> None:
    assert not found(MARKUP, text)


@pytest.mark.parametrize(
    "text", ["caf\ufffd", "ï»¿Text", "cafÃ©", "10 Â°C", "itâ€™s", "it\u00e2\u0080\u0099s", "ðŸ˜€", "\u00ef\u0080\u0081"]
)
def test_wrongly_decoded_text_is_told_by_any_of_its_signs(text: str) -> None:
    assert found(MOJIBAKE, text)


@pytest.mark.parametrize(
    "text", ["naïve Chloë", "São Paulo", "Ångström", "Été à l’âge", "GRÖẞE", "Đà Nẵng", "Þórr Ægir"]
)
def test_accents_are_no_fault_of_decoding(text: str) -> None:
    assert not found(MOJIBAKE, text)


def test_control_characters_are_those_that_part_no_text() -> None:
    told = [code for code in range(1, 256) if found(CONTROL, f"a{chr(code)}b")]
    assert told == [*range(1, 9), 11, 12, *range(14, 32), 127]
