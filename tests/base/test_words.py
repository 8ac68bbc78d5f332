"""Words as they are compared: whatever their case and punctuation."""

from bertline.base.words import normalised


def test_texts_are_the_same_whatever_their_case_and_not_whatever_their_marks() -> None:
    assert normalised("It's GOOD: yes") == normalised("“it’s” good, Yes!") == "it s good yes"
    assert normalised("दिन में।") != normalised("दीन में।")
