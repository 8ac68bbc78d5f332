"""What text in a language looks like, cheaply: the script of its letters, and its commonest words.

Scripts are told apart by the first byte of a letter in UTF-8 (each script has its own rows of Unicode), so that one
table look-up a byte classes gigabytes of text. Function words tell languages of one script apart: a text in English
has one in every four words or so, German text hardly any English ones.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

OTHER, OWN, FOREIGN, SPACE = 0, 1, 2, 3

_ASCII_LETTERS = (*range(0x41, 0x5B), *range(0x61, 0x7B))
_SCRIPTS: dict[str, tuple[int, ...]] = {
    "latin": (*_ASCII_LETTERS, *range(0xC3, 0xCA)),  # U+00C0 to U+024F
    "greek": (0xCD, 0xCE, 0xCF),
    "cyrillic": (0xD0, 0xD1, 0xD2, 0xD3, 0xD4),
    "armenian": (0xD4, 0xD5, 0xD6),
    "hebrew": (0xD6, 0xD7),
    "arabic": (0xD8, 0xD9, 0xDA, 0xDB),
    "indic": (0xE0,),  # U+0800 to U+0FFF: Devanagari to Thai, Lao and Tibetan
    "burmese to khmer": (0xE1,),  # U+1000 to U+1FFF: Georgian and Ethiopic between them
    "east asian": (0xE3, 0xE4, 0xE5, 0xE6, 0xE7, 0xE8, 0xE9),  # kana and Han
    "hangul": (0xEA, 0xEB, 0xEC, 0xED),
}
_UNJUDGED = ("latin", "burmese to khmer")  # names and terms stand in Latin everywhere; Vietnamese has letters of 0xE1
_LANGUAGES: dict[str, str] = {
    "latin": "af az bs ca ceb cs cy da de en eo es et eu fi fil fr ga gl ha hr ht hu id is it jv la lb lt lv mg ms mt "
    "nb nl nn no oc pl pt ro sk sl so sq sv sw tl tr vi xh yo zu",
    "greek": "el",
    "cyrillic": "ab av ba be bg bua ce cv kk kv ky mk mn os ru rue sah sr tg tt tyv udm uk uz",
    "armenian": "hy hyw",
    "hebrew": "he yi",
    "arabic": "ar ary arz azb ckb fa glk ks mzn pnb ps sd skr ug ur",
    "indic": "as awa bh bho bn bo bpy dty dz gom gu hi kn lo mai ml mr ne new or pa pi sa si ta te th",
    "burmese to khmer": "am gez ka km mnw my shn ti xmf",
    "east asian": "gan ja lzh wuu yue zh",
    "hangul": "ko",
}
_WITHOUT_SPACES = "bo dz gan ja km lo lzh mnw my shn th wuu yue zh"  # between words
_ALSO_MARKED = "ja km mnw my shn"  # and all of script indic
_ALSO_LATIN = ("sr", "uz")  # written in both
FUNCTION_WORDS = {
    "en": "the of and to in a is for that on with as are be by this it or an from at was not if which",
    "de": "der die das und in den von zu mit sich des auf für ist im dem nicht ein eine als auch es an werden aus",
    "fr": "de la le et les des en un une du dans est que pour qui au par sur plus il se pas ne avec ce",
    "es": "de la que el en y a los se del las un por con no una su para es al lo como más o este",
}
# Latin letters that are not ASCII, and their accents; without the long s, which is an s in capitals, and so for (?i).
_ACCENTED = "[\u00c0-\u017e\u0180-\u024f\u0300-\u036f\u1e00-\u1eff]"


def script_of(language: str) -> str:
    """The script of an ISO 639 language; empty, if the language is none of those above."""
    return next((script for script, known in _LANGUAGES.items() if language in known.split()), "")


def parts_words(language: str) -> bool:
    """Whether spaces stand between the words of a language."""
    return language not in _WITHOUT_SPACES.split()


def needs_marks(language: str) -> bool:
    """Whether marks that lower-casing takes away tell words apart: vowels in Hindi and Thai, voicing in Japanese."""
    return script_of(language) == "indic" or language in _ALSO_MARKED.split()


def byte_classes(language: str) -> NDArray[np.uint8]:
    """A table byte -> class: OWN first bytes of letters of the language's script, FOREIGN of another, SPACE, OTHER.

    A language that is not known is not judged by its script: all letters are its own.
    """
    table = np.full(256, OTHER, np.uint8)
    own = script_of(language)
    for script, first_bytes in _SCRIPTS.items():
        table[list(first_bytes)] = OTHER if script in _UNJUDGED else FOREIGN
    for script in [own, *(["latin"] if language in _ALSO_LATIN else [])] if own else _SCRIPTS:
        table[list(_SCRIPTS[script])] = OWN
    if not own:
        table[0xC3:] = OWN  # scripts that are not told apart above, too
    table[[0x20, 0x09, 0x0A]] = SPACE
    return table


def knows_function_words(language: str) -> bool:
    """Whether the function words of a language are known here."""
    return language in FUNCTION_WORDS


def count_function_words(texts: pa.Array, language: str) -> NDArray[np.int64]:
    """How many function words of a language each text has (texts,); none where they are not known."""
    if not knows_function_words(language):
        return np.zeros(len(texts), np.int64)
    words = f"(?:{'|'.join(FUNCTION_WORDS[language].split())})"
    found = _count(texts, rf"(?i)\b{words}\b")
    # For RE2 a word ends at a letter with an accent: of Vietnamese "của", the "a" would be English.
    accented = np.flatnonzero(~pc.string_is_ascii(texts).to_numpy(zero_copy_only=False))
    found[accented] -= _count(texts.take(pa.array(accented)), rf"(?i){_ACCENTED}{words}\b|\b{words}{_ACCENTED}")
    return found


def _count(texts: pa.Array, pattern: str) -> NDArray[np.int64]:
    counts: NDArray[np.int64] = pc.count_substring_regex(texts, pattern).to_numpy(zero_copy_only=False).astype(np.int64)
    return counts
