"""Parts of a Python docstring: summary, description and parameters, as plain prose.

Reads the three conventions of the packages at hand: numpydoc (`Parameters` underlined), Google (`Args:` and an indented
block) and reStructuredText fields (`:param x:`). Code, tables, directives and inline markup are left out.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_PARAMETERS = ("parameters", "other parameters", "args", "arguments", "keyword args", "keyword arguments")
_GOOGLE = re.compile(
    r"(Args|Arguments|Parameters|Keyword Args|Keyword Arguments|Returns?|Yields?|Raises|Attributes|Examples?|Notes?|"
    r"References|Shape|Warnings?|Warns|See Also|Inputs?|Outputs?|Usage|Todo)\s*:{1,2}\s*$",
    re.IGNORECASE,
)
_UNDERLINE = re.compile(r"\s*([-=~^\"])\1{2,}\s*$")
_RULE = re.compile(r"[\s=~^+|\"-]{4,}$")  # under headings, in and around tables
_FIELD = re.compile(r":(param|type|returns?|rtype|raises|yields?|var|keyword)(?:\s+([^:]*))?:\s*(.*)$")
_FIELDS = ":fields"
_NAME = r"\*{0,2}[A-Za-z_][\w.]*"
_NAMES = re.compile(rf"{_NAME}(?:\s*,\s*{_NAME})*$")
_GOOGLE_ENTRY = re.compile(rf"[`'\"]*({_NAME})[`'\"]*\s*(?:\((.*?)\))?\s*:(?:\s+(.*))?$")
_NUMPY_ENTRY = re.compile(r"([^:]+?)(?:\s*:\s+|\s+:|:$|$)(.*)$")
_SENTENCE_END = re.compile(
    r"(?<![.\s][A-Za-z])(?<!e\.g)(?<!i\.e)(?<!etc)(?<!\bcf)(?<!\bvs)[.!?][)\"']?(?=\s+[A-Z(\[`\"'*]|$)"
)


@dataclass(frozen=True)
class Parameter:
    """One documented parameter, on one line each; type and description may be empty."""

    name: str
    type: str
    description: str


def summary_and_description(text: str) -> tuple[str, str]:
    """The first sentence of a cleaned docstring (inspect.cleandoc), and the prose after it, before any section."""
    paragraphs = list(_prose(next(_sections(text.splitlines()))[1]))
    if not paragraphs:
        return "", ""
    summary, rest = split_sentence(paragraphs[0])
    return summary, " ".join(filter(None, [rest, *paragraphs[1:]]))


def documented_parameters(text: str) -> list[Parameter]:
    """The parameters that a cleaned docstring documents, in order."""
    parameters: list[Parameter] = []
    for title, lines in _sections(text.splitlines()):
        if title.removesuffix(":") in _PARAMETERS:
            parameters += _google_parameters(lines) if title.endswith(":") else _numpy_parameters(lines)
        elif title == _FIELDS:
            parameters += _field_parameters(lines)
    return parameters


def split_sentence(text: str) -> tuple[str, str]:
    """The first sentence of a text on one line, and the rest."""
    end = _SENTENCE_END.search(text)
    return (text[: end.end()], text[end.end() :].strip()) if end else (text, "")


def _sections(lines: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """(title in lower case, lines) of each section; the head comes first, without title; Google's end in ":"."""
    title, body = "", list[str]()
    skip = False
    for number, line in enumerate(lines):
        if skip:
            skip = False
            continue
        following = lines[number + 1] if number + 1 < len(lines) else ""
        opened = ""
        if line.strip() and not line[0].isspace():
            if _UNDERLINE.match(following):
                opened, skip = line.strip().lower(), True
            elif _GOOGLE.match(line):
                opened = line.strip().rstrip(":").strip().lower() + ":"
            elif title != _FIELDS and _FIELD.match(line):
                opened = _FIELDS
        if opened:
            yield title, body
            title, body = opened, []
        if not opened or opened == _FIELDS:
            body.append(line)
    yield title, body


def _numpy_parameters(lines: Sequence[str]) -> Iterator[Parameter]:
    for entry, body in _entries(lines):
        match = _NUMPY_ENTRY.match(entry)
        names = match.group(1).strip().strip("`") if match else ""
        if match and _NAMES.match(names):
            yield _parameter(names, match.group(2), body)


def _google_parameters(lines: Sequence[str]) -> Iterator[Parameter]:
    filled = [line for line in lines if line.strip()]
    margin = min((_indent(line) for line in filled), default=0)
    for entry, body in _entries([line[margin:] for line in lines]):
        match = _GOOGLE_ENTRY.match(entry.lstrip("-* "))
        if match:
            yield _parameter(match.group(1), match.group(2) or "", [match.group(3) or "", *body])


def _field_parameters(lines: Sequence[str]) -> Iterator[Parameter]:
    for entry, body in _entries(lines):
        match = _FIELD.match(entry)
        if match and match.group(1) == "param" and match.group(2):
            *kind, name = match.group(2).split()
            if _NAMES.match(name):
                yield _parameter(name, " ".join(kind), [match.group(3), *body])


def _entries(lines: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Lines at the margin, each with the indented lines that follow it, less their own margin."""
    entry, body = "", list[str]()
    for line in lines:
        if line.strip() and not line[0].isspace():
            if entry:
                yield entry, _dedent(body)
            entry, body = line.strip(), []
        else:
            body.append(line)
    if entry:
        yield entry, _dedent(body)


def _dedent(lines: Sequence[str]) -> list[str]:
    margin = min((_indent(line) for line in lines if line.strip()), default=0)
    return [line[margin:] for line in lines]


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _parameter(name: str, kind: str, lines: Sequence[str]) -> Parameter:
    kind = re.sub(r"\s+", " ", plain(kind)).strip(" .,:")
    return Parameter(name.replace("*", ""), kind, " ".join(_prose(lines)))


def _prose(lines: Sequence[str]) -> Iterator[str]:
    """Paragraphs of running text, one line each, without markup; code, lists of fields and directives are left out."""
    paragraph: list[str] = []
    fenced = False
    for line in [*lines, ""]:
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif line.strip() and not fenced:
            paragraph.append(line)
            continue
        if paragraph and _is_prose(paragraph):
            text = plain(" ".join(part.strip() for part in paragraph))
            if text:
                yield text
        paragraph = []


def _is_prose(paragraph: Sequence[str]) -> bool:
    first = paragraph[0]
    code = first.lstrip().startswith((">>>", "...", ".. ", "|", "+-", "@", "#", "<", "$", "%("))
    entry = _GOOGLE_ENTRY.match(first)
    if entry and entry.group(2):  # `name (type): …` without a heading: a parameter, not prose
        return False
    return not first[0].isspace() and not code and not any(_RULE.match(line) for line in paragraph)


_MARKUP = (
    (re.compile(r":[a-z:]+:`[!~]?([^`<]*?)\s*(?:<[^`>]*>)?`"), r"\1"),  # :class:`~a.b` and :ref:`text <target>`
    (re.compile(r"`([^`<]+?)\s*<[^`>]+>`_{0,2}"), r"\1"),  # `text <address>`_
    (re.compile(r"!?\[([^\]\[]+)\]\([^)\s]*\)"), r"\1"),  # [text](address)
    (re.compile(r"\[(`[^`]+`)\]"), r"\1"),  # [`name`]
    (re.compile(r"</?[A-Za-z][^<>]*>|\[[0-9A-Za-z]+\]_|https?://\S+|%\([^)]*\)s"), ""),
    (re.compile(r"`{1,2}[~.!]?([^`]*)`{1,2}_{0,2}"), r"\1"),
    (re.compile(r"(?<![\w*])\*{1,2}(?=\S)([^*]+?)(?<=\S)\*{1,2}(?![\w*])"), r"\1"),  # *emphasis*, not **kwargs
    (re.compile(r"::(?=\s|$)"), ":"),
    (re.compile(r"\s+"), " "),
)


def plain(text: str) -> str:
    """A line of reStructuredText or Markdown without its inline markup."""
    for pattern, replacement in _MARKUP:
        text = pattern.sub(replacement, text)
    return text.strip()
