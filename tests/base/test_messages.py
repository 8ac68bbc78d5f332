"""Lines for people arrive at once."""

from pathlib import Path

from bertline.base.messages import say


def test_a_line_is_there_as_soon_as_it_is_said(tmp_path: Path) -> None:
    """Held back, the line of an hour ago would come with the last one."""
    with (tmp_path / "log").open("w") as stream:
        say("step 1", stream)
        assert (tmp_path / "log").read_text() == "step 1\n"
