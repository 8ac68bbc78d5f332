"""Left-over markup in running text: HTML, wikitext, and what an extractor left of them.

    text = without_markup("See [[Earth|the Earth]]&nbsp;(, ) <b>now</b>.", counts)   # "See the Earth now."

Texts without any sign of markup, which are most, cost one search. Each rule counts what it took away under
`markup_RULE`. The rules are for text that was extracted already: they mend remains and parse neither language.
"""

import html
import re
from collections import Counter
from collections.abc import Callable
from typing import Protocol

_SIGNS = ("[", "]]", "<", "&", "{", "}}", "''", "__", "formula_", "|")
_BRACKETS = re.compile(r"[(（]\s*[,;，；、:：)）]")

_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
_HIDDEN_NAMES = "ref|script|style|math|gallery|timeline|syntaxhighlight|svg"
_HIDDEN_START = re.compile(rf"<!--.*?(?:-->|$)|<({_HIDDEN_NAMES})\b[^<>]*(?<!/)>", re.I | re.S)
_HIDDEN_END = re.compile(rf"</({_HIDDEN_NAMES})\s*>", re.I)
_NAMES = (
    "a|abbr|article|aside|b|bdi|big|blockquote|body|br|button|caption|center|cite|code|dd|del|details|dfn|div|dl|dt|em"
    "|font|footer|form|gallery|h[1-6]|head|header|hr|html|i|iframe|img|includeonly|input|ins|kbd|label|li|link|main|math"
    "|meta|nav|nobr|noinclude|noscript|nowiki|ol|onlyinclude|option|p|poem|pre|q|rb|ref|references|rp|rt|ruby|s|samp"
    "|script|section|select|small|source|span|strike|strong|style|sub|summary|sup|svg|table|tbody|td|tfoot|th|thead"
    "|timeline|title|tr|tt|u|ul|var|video|wbr"
)
# An attribute has an equals sign: "a<b and c>d" is arithmetic, no bold text.
_TAG = re.compile(rf"</?(?:{_NAMES})(?:\s[^<>=]*+=[^<>]*+|\s*+/?)>", re.I)
_BREAKS = re.compile(r"</?(?:br|p|div|li|ul|ol|tr|td|th|table|h[1-6]|hr|blockquote|section|dd|dt|dl|title)\b", re.I)
_BRACKETED_ADDRESS = re.compile(r"<https?://[^<>\s]*>|\[(?:https?:)?//[^\s\[\]]+\]")
_NAMED_ADDRESS = re.compile(r"\[(?:https?:)?//[^\s\[\]]+\s++([^\[\]]*)\]")
_TEMPLATE = re.compile(r"\{\{[^{}]*\}\}")
_OPEN_TEMPLATE = re.compile(r"\{\{(?=[#!]|[^{}]*[|=]).*$")
_TEMPLATE_END = re.compile(r"\|[^|{}.!?]{0,80}\}\}|\}\}|\{\{|\{\||\|\}")
_FILES = "Category|File|Image|Media|Datei|Bild|Kategorie|Fichier|Catégorie|Archivo|Categoría|分类|分類|文件|檔案|档案"
_LINK = re.compile(rf"\[\[(?::?(?:{_FILES})\s*:[^\[\]]*|(?:[^\[\]|]*\|)*([^\[\]|]*))\]\]", re.I)
_CAPTION = re.compile(r"^[^\[\]]{0,250}\]\]")  # the end of an image's caption, which the extractor took for text
_LINK_END = re.compile(r"\[\[|\]\]")
_EMPHASIS = re.compile(r"'{2,5}")
_CONVERSION = re.compile(r"-\{([^{}]*)\}-")
_VARIANT = re.compile(r"(?:^|[;|])\s*(?:zh-hans|zh-cn|zh)\s*:\s*([^;]*)", re.I)
_CITATION = re.compile(r"(?<=[\w.,;:!?\"'”’)。，」』\]])\[(?:\d{1,3}|edit|citation needed|编辑|編輯)\]")
_MAGIC = re.compile(r"__[A-Z]{3,}__|(?i:formula_\d+)")  # __NOTOC__, but not __init__
# From a "|" to the end of a file name: what begins with the name itself would be tried at each letter of a text.
_IMAGE = re.compile(r"(?:^|(?<=\|))([^|]*[^\s|] *)\.(?:jpe?g|png|svg|gif)\|(?:thumb\|)?", re.I)
_NAME_BACKWARDS = re.compile(r"[ \w,'()-]*[^\s|]*")
_EMPTY_BRACKETS = re.compile(r"\s?[(（][\s,;，；、:：]*[)）]")
_OPENING_COMMA = re.compile(r"([(（])\s*[,;，；、:：][\s,;，；、:：]*")

_Replacement = str | Callable[[re.Match[str]], str]


class _Pattern(Protocol):
    """What finds the places of a rule; a regular expression is one."""

    def subn(self, repl: _Replacement, string: str, /) -> tuple[str, int]: ...


class _Hidden:
    """Comments, and elements whose content no reader sees.

    As one expression, a start without an end would be looked for to the end of the text, at each of them.
    """

    def subn(self, repl: _Replacement, string: str, /) -> tuple[str, int]:
        last = {end[1].lower(): end.start() for end in _HIDDEN_END.finditer(string)}
        parts: list[str] = []
        kept = place = 0
        while start := _HIDDEN_START.search(string, place):
            place = start.end()
            name = start[1]
            if name and last.get(name.lower(), -1) < place:
                continue
            end = re.compile(rf"</{name}\s*>", re.I).search(string, place) if name else start
            assert end is not None  # the last one at the latest
            parts.append(string[kept : start.start()])
            kept = place = end.end()
        assert isinstance(repl, str)
        return repl.join([*parts, string[kept:]]), len(parts)


def without_markup(text: str, counts: Counter[str]) -> str:
    """The text as a reader would have seen it; white space is left to clean.normalise."""
    signs = [sign for sign in _SIGNS if sign in text]  # far faster than one expression of all
    if not signs and not _BRACKETS.search(text):
        return text
    for sign, rules in _RULES:
        if sign in text:
            for name, pattern, replacement, rounds in rules:
                text = _apply(text, counts, f"markup_{name}", pattern, replacement, rounds)
    for name, pattern, replacement in _ALWAYS:
        text = _apply(text, counts, f"markup_{name}", pattern, replacement, 2)
    return text


def _apply(
    text: str, counts: Counter[str], name: str, pattern: "_Pattern", replacement: _Replacement, rounds: int
) -> str:
    for _ in range(rounds):  # what is nested goes from the inside out
        text, found = pattern.subn(replacement, text)
        if not found:
            break
        counts[name] += found
    return text


def _chosen(match: re.Match[str]) -> str:
    """Of -{zh-hans:甲;zh-hant:乙}- the simplified variant; of -{甲}- what stands there."""
    content = match[1]
    variant = _VARIANT.search(content)
    if variant:
        return variant[1]
    return "" if ":" in content or "=>" in content else content.rpartition("|")[2]


def _space_or_nothing(match: re.Match[str]) -> str:
    return " " if _BREAKS.match(match[0]) else ""


def _before_name(match: re.Match[str]) -> str:
    """What stands before an image's file name: a word, and all that follows and could be of the name, are the name."""
    backwards = match[1][::-1]
    name = _NAME_BACKWARDS.match(backwards)
    return backwards[len(name[0].rstrip(" ")) if name else 0 :][::-1]


def _label(match: re.Match[str]) -> str:
    return match[1] or ""


_RULES: tuple[tuple[str, tuple[tuple[str, _Pattern, _Replacement, int], ...]], ...] = (
    ("&", (("entities", _ENTITY, lambda match: html.unescape(match[0]), 2),)),
    ("<", (("tags", _Hidden(), " ", 1), ("tags", _TAG, _space_or_nothing, 1), ("tags", _BRACKETED_ADDRESS, "", 1))),
    ("-{", (("conversions", _CONVERSION, _chosen, 3),)),
    ("{{", (("templates", _TEMPLATE, "", 4), ("templates", _OPEN_TEMPLATE, "", 1))),
    ("}}", (("templates", _TEMPLATE_END, "", 1),)),
    ("{|", (("templates", _TEMPLATE_END, "", 1),)),
    ("[[", (("links", _LINK, _label, 3),)),
    ("]]", (("captions", _CAPTION, "", 3), ("links", _LINK_END, "", 1))),
    ("[[", (("links", _LINK_END, "", 1),)),
    (
        "[",
        (("citations", _CITATION, "", 1), ("links", _NAMED_ADDRESS, _label, 1), ("links", _BRACKETED_ADDRESS, "", 1)),
    ),
    ("''", (("emphasis", _EMPHASIS, "", 1),)),
    ("_", (("magic", _MAGIC, "", 1),)),
    ("|", (("magic", _IMAGE, _before_name, 1),)),
)
_ALWAYS: tuple[tuple[str, re.Pattern[str], str], ...] = (
    ("brackets", _OPENING_COMMA, r"\1"),
    ("brackets", _EMPTY_BRACKETS, ""),
)
