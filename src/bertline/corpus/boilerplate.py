"""Lines that are no running text: headings, categories, navigation, tables, lists of names, licences.

    line_fault("See also")      # "section": the rule that drops the line, or ""

A line is a paragraph after corpus/markup.py and normalisation. The rules look at short lines that end in the middle of
nothing; the C4 rule that drops every line without a full stop would take a fifth of a novel's dialogue.
"""

import re

MIN_LINE_WORDS = 5  # a shorter line without punctuation at its end is a heading or an entry of a list
_MIN_LINE_CHARACTERS = 12  # the same where words are not separated by spaces
# What ends a sentence or a part of one: Latin, Chinese; Arabic and Urdu, Indian, Armenian, Ethiopic, Burmese, Khmer,
# Tibetan. And what closes a quote or a bracket in some language: „so“, »so«, 《so》.
_STOPS = r".!?…:;,\-–—‥‼‽⁇⁈⁉。！？：；，、．｡､" "؟؛،۔" "।॥" "։՝" "።፣፤፥፦፧" "၊။" "។៕៖" "།༎"
_CLOSING = r"'\"’”»)\]）」』】" "‘“«›‹》〉〕］｝〟＂＇｣"
_END = re.compile(f"[{_STOPS}](?:[{_CLOSING}]|\\s[»›])*$")  # French has a space before its closing one
_HEADING = re.compile(r"(=+)[^=].*\1$|#{1,6} ")
_SECTIONS = re.compile(
    r"(?:see also|references?|external links?|further reading|notes(?: and references)?|footnotes|bibliography|sources"
    r"|citations|gallery|contents|table of contents|works cited"
    r"|参见|參見|参看|參看|参考文献|參考文獻|参考资料|參考資料|外部链接|外部鏈接|外部連結|注释|註釋|注釋|脚注|腳註|延伸阅读|延伸閱讀|相关条目|相關條目)[:：]?",
    re.IGNORECASE,
)
_CATEGORY = re.compile(
    r":?(?:category|categories|file|image|template|portal|wikipedia|kategorie|datei|catégorie|fichier|分类|分類|文件|檔案)\s?[:：]\s?\S",
    re.IGNORECASE,
)
_TABLE = re.compile(
    r"(?:\{\||\|[-}+]|!.*(?:\||style=|colspan|scope)|\|.*[|=])|.*\|\|.*\|\||.*\w\s?\|\s?\w+\s?=\s?\w.*\|"
)
_NAVIGATION = re.compile(r"(?:[^|·•»›→]{1,40}(?:\s[|·•»›→]\s|\s?→\s?)){3,}")
# What an item of a list that ends in a semicolon has not: operators, calls ("member(s);" and "Article 3(2);" are none),
# and names as my_name or myName where there is little else (GmbH, eBay, iPhone and kWh are none).
_SIGN_OF_CODE = (
    r"[={}<>]|\(\)|->|::|&&|\|\||\w\[\w*\]|[^\W\d]\((?![^\W\d_]{1,3}\))[^()]*\)\s?;$"
    r"|^(?=\S*(?: \S+){0,3}$).*(?:\w_\w|\b[a-z]{2,}[A-Z][a-z]{2})"
    r"|^(?:(?:int|bool|const|unsigned|using namespace) [\w*&]+|return|break|continue)\s?;$"
)
_CODE = re.compile(
    rf"[^.!?。！？]*[{{}}]$|(?=.*(?:{_SIGN_OF_CODE}))[^.!?。！？]*[\w\]\"')]\s?;$"
    r"|#include\b|<\?php|function\s?\(|public static |def \w+\("
)
_GUTENBERG = re.compile(
    r"\*{3} ?(?:START|END) OF|.*\bproject gutenberg(?:-tm|™)?\b.{0,200}\b(?:licen[cs]e|e-?book|e-?text"
    r"|electronic works?|trademark|donations?|foundation|volunteers|copyright)",
    re.IGNORECASE,
)
_WEB = re.compile(
    r"(?:privacy policy|cookies? policy|terms (?:of|and) (?:use|service|conditions)|all rights reserved"
    r"|skip to (?:main )?content|(?:log|sign) ?(?:in|out|up)\b|subscribe(?: now| to)|share (?:this|on)\b|click here"
    r"|read more|advertisement\b|back to top|jump to (?:navigation|search)|edit this page"
    r"|retrieved from \"|this page was last (?:edited|modified)|(?:copyright|©|\(c\)) ?(?:\(c\)|©)? ?\d{4}"
    r"|(?:please )?enable javascript|we use cookies|lorem ipsum"
    r"|版权所有|版權所有|返回顶部|返回頂部|隐私政策|隱私政策|点击这里|點擊這裡)",
    re.IGNORECASE,
)
_LONGEST_WEB = 160  # characters; a longer line that begins so is about the matter
_BULLET = re.compile(r"[*#•·▪◦‣●○■□◆※–—-]+\s+|[*#•▪◦‣●■◆]+(?=\w)")


def without_bullet(line: str) -> str:
    """A line without the bullet it begins with."""
    return _BULLET.sub("", line, count=1) if line[:1] in "*#•·▪◦‣●○■□◆※–—-" and _BULLET.match(line) else line


def line_fault(line: str) -> str:
    """The rule that drops a line; empty if none does."""
    if ("utenberg" in line or "UTENBERG" in line) and _GUTENBERG.match(line):
        return "licence"
    if line[-1:] in "{};|" or line[:1] in "|!{=#:" or "|" in line:
        if _HEADING.match(line):
            return "heading"
        if _TABLE.match(line):
            return "table"
        if len(line) < _LONGEST_WEB and _CODE.match(line):
            return "code"
    return _short_line_fault(line) if len(line) <= 2 * _LONGEST_WEB else ""


def _short_line_fault(line: str) -> str:
    if _CATEGORY.match(line):
        return "category"
    if len(line) <= _LONGEST_WEB and _WEB.match(line):
        return "boilerplate"
    if _END.search(line):
        return ""
    if _SECTIONS.fullmatch(line):
        return "section"
    if _NAVIGATION.match(line):
        return "navigation"
    few = line.count(" ") < MIN_LINE_WORDS - 1
    spaced = line.isascii() or line.count(" ") * 12 > len(line)
    return "list" if few and (spaced or len(line) < _MIN_LINE_CHARACTERS) else ""
