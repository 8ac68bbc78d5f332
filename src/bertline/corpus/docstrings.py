"""Docstrings to prose: what is furniture goes, what people read stays.

    paragraphs, dropped = prose(docstring)

Three kinds of markup live side by side in Python documentation: reStructuredText, numpydoc (sections underlined) and
Google style with Markdown. Read line by line: code, tables, directives and headings are dropped and counted; then lines
are joined into paragraphs, a parameter and a list item each being one of their own; then roles, quotes and emphasis are
undone. The rules are heuristics for reading text, not a parser of any of the three.
"""

import re
from collections import Counter
from collections.abc import Iterator

# Directives with running text in them; the block of any other one (code, math, plot, image, a table …) is dropped.
_ADMONITION = re.compile(
    r"note|warning|tip|important|caution|hint|attention|danger|admonition|seealso|topic|rubric"
    r"|version(?:added|changed)|deprecated(?:-removed)?"
)
_HEADING = re.compile(
    r"arg(?:ument)?s|param(?:eter)?s|returns?|raises|yields|examples?|(?:example )?usage|notes?|shape|attributes"
    r"|methods|inputs?|outputs?|tip|key ?words?|keyword arg(?:ument)?s|warnings?|see also|references"
)
_REFERENCES = "references"  # the section of a bibliography: dropped up to the next heading

_FENCE = re.compile(r"(```|~~~)")
_DIRECTIVE = re.compile(r"\.\.(?: +(?P<name>[\w:-]+?)::(?P<text>.*)| .*|$)")
_UNDERLINE = re.compile(r"([=\-~^\"'*#+.:_`])\1{2,}$")
_BORDER = re.compile(r"(?=.*[=\-]{2})[=\-+|: ]*[ +|][=\-+|: ]*$")
_BULLET = re.compile(r"(?:[-*+•–—]|\(?(?:\d{1,2}|[a-zA-Z])[.)]|#\.) +")
_FIELD = re.compile(r"^:(?:param|parameter|arg|argument|key|keyword|raises?|except|var|ivar|cvar) (?:[^:]* )?(\S+?):")
_DROPPED_FIELD = re.compile(r":(?:r?type|vartype|meta)\b[^:]*:")
_RESULT_FIELD = re.compile(r"^:(?:returns?|yields?):")
# `x, y : array_like of shape (n,)` of numpydoc, and `x (int, optional): The …` or `x: The …` of Google style.
_TYPED = re.compile(r"[*\\`]*[\w.]+[`*]*(?:, *[*\\`]*[\w.]+[`*]*)* : \S")
# A line of "See Also": `name : What it does`, of which the description may go on in the next line.
_SEE_ALSO = re.compile(r"[\w.]+ : [A-Z][a-z]+ (?!or |of )[a-z]+ ")
_DESCRIBED = re.compile(r"[*\\`]*[\w.]+[`*]*(?: ?\(.{1,240}\))?(?: ?: +\S| ?:$)")


def prose(docstring: str) -> tuple[list[str], Counter[str]]:
    """The paragraphs of running text in a docstring, and how many lines each rule dropped."""
    dropped: Counter[str] = Counter()
    lines = list(_without_blocks(docstring.expandtabs().split("\n"), dropped))
    paragraphs = (_without_markup(paragraph) for paragraph in _paragraphs(lines))
    return [paragraph for paragraph in paragraphs if paragraph], dropped


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _without_blocks(lines: list[str], dropped: Counter[str]) -> Iterator[str]:
    """The lines of running text; an empty line stands where something was dropped."""
    place = 0
    while place < len(lines):
        rule, end = _furniture(lines, place)
        start = place  # of what is dropped
        if not rule and _DIRECTIVE.match(lines[place].strip()):  # an admonition is a paragraph of its own,
            yield ""
            yield " " * _indent(lines[end] if end < len(lines) else "") + _opened(lines[place])  # indented as its rest
        elif not rule:
            yield _opened(lines[place])
            if lines[place].rstrip().endswith("::"):  # what is indented below it is a literal block
                rule, start, end = "code", place + 1, _after_block(lines, place + 1, _indent(lines[place]))
        if rule:
            dropped[f"lines_{rule}"] += sum(bool(line.strip()) for line in lines[start:end])
            yield ""
        place = end


def _furniture(lines: list[str], place: int) -> tuple[str, int]:
    """The rule that drops the lines from `place` on, and where it ends; ("", place + 1) keeps the line."""
    line = lines[place].strip()
    directive = _DIRECTIVE.match(line)
    if not line or (directive and _ADMONITION.fullmatch(directive["name"] or "")):
        return "", place + 1
    if directive:
        return "directive", _after_block(lines, place + 1, _indent(lines[place]))
    if _FENCE.match(line):
        return "code", _after_fence(lines, place)
    if line.startswith(">>>"):
        return "code", _next_blank(lines, place)
    if _BORDER.match(line) or line.startswith("|"):
        return "table", _after_table(lines, place)
    return _heading(lines, place, line)


def _heading(lines: list[str], place: int, line: str) -> tuple[str, int]:
    underlined = place + 1 < len(lines) and _UNDERLINE.match(lines[place + 1].strip())
    name = line.strip("*_# ").rstrip(":").strip("*_ ").lower()
    if underlined and name == _REFERENCES:
        following = range(place + 2, len(lines) - 1)
        end = next(
            (at for at in following if lines[at].strip() and _UNDERLINE.match(lines[at + 1].strip())), len(lines)
        )
        return _REFERENCES, end
    if underlined:
        return "heading", place + 2
    if _HEADING.fullmatch(name) or line.startswith("#") or _UNDERLINE.match(line):
        return "heading", place + 1
    return ("field", place + 1) if _DROPPED_FIELD.match(line) else ("", place + 1)


def _after_fence(lines: list[str], place: int) -> int:
    fence = lines[place].strip()[:3]
    closing = (at for at in range(place + 1, len(lines)) if lines[at].strip().startswith(fence))
    return next(closing, len(lines) - 1) + 1


def _next_blank(lines: list[str], place: int) -> int:
    return next((at for at in range(place, len(lines)) if not lines[at].strip()), len(lines))


def _after_block(lines: list[str], place: int, indent: int) -> int:
    """The first line at or after `place` that is neither empty nor indented by more than `indent`."""
    inside = (at for at in range(place, len(lines)) if lines[at].strip() and _indent(lines[at]) <= indent)
    return next(inside, len(lines))


def _after_table(lines: list[str], place: int) -> int:
    """A grid or Markdown table ends with its last row of | or +; a simple table with its third border, or a blank."""
    if lines[place].strip()[0] in "|+":
        rows = (at for at in range(place, len(lines)) if lines[at].strip()[:1] not in ("|", "+"))
        return next(rows, len(lines))
    borders = 0
    for at in range(place, len(lines)):
        borders += bool(_BORDER.match(lines[at].strip()) or _UNDERLINE.match(lines[at].strip()))
        if borders == 3 or not lines[at].strip():
            return at + 1
    return len(lines)


def _opened(line: str) -> str:
    """A kept line without the markup it begins or ends with; an admonition loses its indent, too."""
    text = line.strip()
    directive = _DIRECTIVE.match(text)
    if directive:
        return "" if directive["name"].startswith(("version", "deprecated")) else directive["text"].strip()
    text = _RESULT_FIELD.sub("", _FIELD.sub(r"\1:", text)).strip()
    text = text[:-1] if text.endswith("::") else text
    return line[: _indent(line)] + text if text else ""


def _paragraphs(lines: list[str]) -> Iterator[str]:
    """Join lines into paragraphs: a blank line, a list item, a parameter or a step outwards begins a new one."""
    parts: list[str] = []
    first = rest = 0  # indent of the paragraph's first line, and of its further lines
    for line in lines:
        text = line.strip()
        indent = _indent(line)
        bullet = _BULLET.match(text)
        if parts and (not text or bullet or not _continues(parts, text, indent, first, rest)):
            yield " ".join(parts)
            parts = []
        if bullet:
            text = text[bullet.end() :].strip()
            indent += bullet.end()
        if parts:
            rest = indent
        elif text:
            first = rest = indent
        if text:
            parts.append(text)
    if parts:
        yield " ".join(parts)


def _continues(parts: list[str], text: str, indent: int, first: int, rest: int) -> bool:
    """Whether a line goes on with the paragraph `parts`, of which the further lines are indented by `rest`."""
    if len(parts) > 1:
        return indent == rest and not (indent == first and _begins_parameter(text))
    if indent == first:
        return not _begins_parameter(text) and not _begins_parameter(parts[0])
    if indent < first:
        return False
    if _TYPED.match(parts[0]):
        return bool(_SEE_ALSO.match(parts[0]))
    if _DESCRIBED.match(parts[0]):
        return True
    return not parts[0].endswith(":") and len(parts[0].split()) > 3


def _begins_parameter(text: str) -> bool:
    return bool(_TYPED.match(text) or _DESCRIBED.match(text))


_ROLE = re.compile(r":[a-zA-Z][\w:+.-]*:`([^`]*)`")
_TARGET = re.compile(r"^(.*?)(?:\s*<[^<>]*>)?$", re.DOTALL)
_LINK = re.compile(r"`([^`<>]+?)\s*<[^`<>]+>`_{1,2}")
_QUOTED = re.compile(r"``([^`]+)``|`([^`]*)`_{0,2}")
_BRACKETED = re.compile(r"\[(`[^`]*`)\](?!\()")  # a reference of transformers' manual
_MARKDOWN_LINK = re.compile(r"!?\[([^\[\]]*)\](?:\([^()\s]*\)|\[[^\[\]]*\])")
_CITATION = re.compile(r"\s?\[(?:\d+|[#*]\w*|[A-Z][\w+-]*\d{2,4}\w?)\]_")
_BOLD = re.compile(r"\*\*(?=\S)([^*]+?)(?<=\S)\*\*|(?<![\w*\\/])\*(?=\w)([^*\s](?:[^*]{0,80}[^*\s])?)\*(?![\w*/])")
_SUBSTITUTION = re.compile(r"\|(\w[\w -]*)\|_{0,2}")
_TAG = re.compile(r"</?(?:tip|br|p|a|div|img|b|i|em|strong|code|pre|sub|sup|span|[uo]l|li|t[drh]|table)\b[^<>]*>", re.I)
_ESCAPE = re.compile(r"\\([*_`|<>])")


def _without_markup(text: str) -> str:
    """Undo roles, links, quotes and emphasis: what they enclose stays."""
    if "`" in text:
        text = _BRACKETED.sub(r"\1", text)
        text = _ROLE.sub(_role_text, text)
        text = _LINK.sub(r"\1", text)
        text = _QUOTED.sub(lambda match: _shown(match[1] or match[2] or ""), text)
    if "]" in text:
        text = _CITATION.sub("", _MARKDOWN_LINK.sub(r"\1", text))
    if "*" in text:
        text = _BOLD.sub(lambda match: match[1] or match[2], text)
    if "|" in text:
        text = _SUBSTITUTION.sub(r"\1", text)
    if "<" in text:
        text = _TAG.sub(" ", text)
    if "\\" in text:
        text = _ESCAPE.sub(r"\1", text)
    return " ".join(text.split())


def _role_text(match: re.Match[str]) -> str:
    """`text <target>` shows its text, `_alias.name` its last part, anything else what quotes show."""
    inside = _TARGET.match(match[1])
    text = inside[1] if inside else match[1]
    return text.rpartition(".")[2] if text.startswith("_") else _shown(text)


def _shown(name: str) -> str:
    """`~package.name` shows its last part, `.name` and `!name` the name, as in Sphinx."""
    if name.startswith("~"):
        return name.rpartition(".")[2].lstrip("~")
    return name.lstrip("!.") if name[1:2].isalpha() else name
