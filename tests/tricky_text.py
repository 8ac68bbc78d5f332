"""Text for property tests, with all that normalisers and splitters of text disagree about."""

from hypothesis import strategies as st

_any_character = st.characters(exclude_categories=["Cs"])
# Separators, joiners, accents apart from their letter, ideographs and what only looks like them, sigma, what becomes
# ASCII when it is decomposed, special tokens.
_tricky = st.sampled_from(
    list(" \t\n\x0b\x0c\r\x1c\x1d\x1e\x1f\x85\xa0\u2028\u3000\u200b\u200d\u0301\u0345İßΣσς\ufffd\x00\x7f[]#▁")
    + list("中\u3400\u4db5\u4dc0\u4dff\u4e00\u9fa5\u9fff\ua000\uac00\uf900\U00020000かカ、。\u037e\u1fef≠K")
    + ["[MASK]", "[UNK]", "##a", "x" * 101]
)
_plain = st.sampled_from(list("the quickfoxzéÀ12,."))
texts = st.lists(st.one_of(_any_character, _tricky, _plain), max_size=60).map("".join)
