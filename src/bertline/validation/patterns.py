"""Regular expressions for what should not be left in clean text; the same for RE2 (Arrow) and for `re`."""

_TAGS = (
    "a|abbr|b|blockquote|body|br|center|cite|code|dd|del|div|dl|dt|em|font|footer|form|h[1-6]|head|header|hr|html|i|"
    "iframe|img|input|ins|label|li|link|meta|nav|nowiki|ol|option|p|pre|q|ref|s|script|section|select|small|span|"
    "strike|strong|style|sub|sup|table|tbody|td|textarea|tfoot|th|thead|title|tr|tt|u|ul|video"
)
MARKUP = (
    rf"(?i)</?(?:{_TAGS})(?:\s[^<>]*)?/?>"  # HTML tags by name: <module> and <class 'int'> are prose about code
    r"|&(?:amp|lt|gt|quot|nbsp|apos|[lr][ds]quo|mdash|ndash|#\d+|#x[0-9a-f]+);"
    r"|\[\[[^\[\]\d\s][^\[\]\n]*\]\]|\{\{[^{}\n]+\}\}|'''|<!--|-->|^\s*\{\||^\s*\|-"  # wikitext
)
# What the bytes 80 to BF of UTF-8 become, read as Latin-1 or as Windows-1252.
_CONTINUATION = "[\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122]"
MOJIBAKE = (
    "\N{REPLACEMENT CHARACTER}|\u00ef\u00bb\u00bf"  # undecodable bytes, a byte order mark
    f"|[\u00c2\u00c3]{_CONTINUATION}"
    "|\u00e2[\u0080\u20ac][\u0080-\u00bf\u0152\u0153\u02dc\u201a-\u2122]"  # UTF-8 quotes and dashes, read as Latin-1
    "|[\u00e0-\u00ef][\u0080-\u009f][\u0080-\u00bf]"
    # Two letters of another script: Greek, Cyrillic, Hebrew, Arabic; Indian, Chinese, Korean. And an emoji.
    f"|(?:[\u00c4-\u00df]{_CONTINUATION}){{2}}|(?:[\u00e0-\u00ef]{_CONTINUATION}{{2}}){{2}}|\u00f0[\u009f\u0178]"
)
CONTROL = "[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]"
