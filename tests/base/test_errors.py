"""What an error says, and what no message ever shows."""

import time

import pytest

from bertline.base.errors import BertlineError, masked, not_utf8, one_line, reason


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:geheim@host:5432/db", "postgresql://me:***@host:5432/db"),
        ("postgresql+psycopg2://me:ge/h@im@host/db", "postgresql+psycopg2://me:***@host/db"),
        (
            "postgresql://host/db?user=me&password=geheim&sslmode=require",
            "postgresql://host/db?user=me&password=***&sslmode=require",
        ),
        ("https://geheim@github.com/a/b.git", "https://***@github.com/a/b.git"),
        ("https://me:12345@host/a", "https://me:***@host/a"),
        ("s3 refused https://host/a?X-Amz-Signature=geheim", "s3 refused https://host/a?X-Amz-Signature=***"),
        ("https://a.blob.core/c/x.txt?sv=1&sig=geheim%3D&se=2", "https://a.blob.core/c/x.txt?sv=1&sig=***&se=2"),
        ("https://host/a?X-Api-Key=geheim&access_key=12345", "https://host/a?X-Api-Key=***&access_key=***"),
        ("http://geheim@host/a", "http://***@host/a"),
        ("https://host/a?x=1&Token=geheim", "https://host/a?x=1&Token=***"),
        ("https://host/a?api_key=geheim&x=1", "https://host/a?api_key=***&x=1"),
        ("https://host/a?client_secret=geheim", "https://host/a?client_secret=***"),
        ("jdbc://host/db?pwd=geheim", "jdbc://host/db?pwd=***"),
        ("http://[::1 is no address", "http://[::1 is no address"),
        ("two: redis://:geheim@a, http://me:geheim@b:4200/api/x", "two: redis://:***@a, http://me:***@b:4200/api/x"),
        ("API request to http://me:geheim@b:5000/api failed", "API request to http://me:***@b:5000/api failed"),
    ],
)
def test_passwords_and_tokens_are_masked_wherever_they_stand(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:4200/api",
        "http://host:4200/user@example.com",
        "hf://datasets/OWNER/NAME@main/file.txt",
        "sqlite:////a/b@c.db",
        "https://host/a.txt?design=blue&config=2&keys=all",
        "ssh://git@host/a.git",
        "finetune@docs_qa: error: a.csv, row 3: no label. Add one.",
    ],
)
def test_what_holds_no_password_stays_as_it_is(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize("before", range(240, 300, 7))
def test_a_password_is_masked_wherever_a_long_text_is_cut(before: int) -> None:
    shown = reason(ValueError(f"{'x' * before} https://me:verysecretpassword@host refused"))
    assert len(shown) <= 300
    assert "very" not in shown


@pytest.mark.parametrize("secret", ["", " https://me:verysecretpassword@host refused"])
def test_of_an_endless_word_the_reason_is_told_in_no_time_and_masked(secret: str) -> None:
    begun = time.process_time()
    assert len(reason(ValueError("://x:" * 40_000 + secret))) == 300
    assert "very" not in reason(ValueError(secret + "://x:" * 40_000))
    assert time.process_time() - begun < 2


def test_what_a_person_is_told_is_one_line_whatever_a_file_has_in_its_headings() -> None:
    """An escape sequence of one would move the cursor of the terminal, or rename its window."""
    error = BertlineError(
        "no column 'text'", where="a.csv", fix="It has: the\ntext, \x1b]0;owned\x07\x9b2J, یک\u200cزن"
    )
    told = r"a.csv: no column 'text'. It has: the\ntext, \x1b]0;owned\x07\x9b2J, یک" + "\u200cزن."
    assert one_line(error) == told


def test_a_full_disk_is_known_behind_the_error_of_a_store() -> None:
    try:
        try:
            raise RuntimeError("(sqlite3.OperationalError) database or disk is full")
        except RuntimeError as error:
            raise BertlineError("autoflush", where="MLflow store sqlite:///a.db", fix="Check it") from error
    except BertlineError as error:
        told = one_line(error)
    assert told == "MLflow store sqlite:///a.db: No space left on device. Free some space and run again."


@pytest.mark.parametrize(
    ("encoding", "told"), [("utf-16-le", "utf-16"), ("utf-16-be", "utf-16"), ("windows-1252", "windows-1252")]
)
def test_a_text_that_is_no_utf8_is_said_to_be_what_it_looks_like(encoding: str, told: str) -> None:
    mark = "\ufeff" if encoding.startswith("utf-16") else ""
    with pytest.raises(UnicodeDecodeError) as caught:
        f"{mark}caf\xe9".encode(encoding).decode()
    fix = not_utf8(caught.value, "a.txt").fix
    assert f"`iconv -f {told} -t utf-8`" in fix
    assert ("gb18030" in fix) == (told == "windows-1252")  # nobody who has a mark need guess
