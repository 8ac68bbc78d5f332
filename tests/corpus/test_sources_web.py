"""Files from the web: whole and right, whatever the server does, and not fetched twice."""

import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bertline.base.download_config import Source
from bertline.base.errors import BertlineError
from bertline.corpus import http, transfer_progress
from bertline.corpus.sources import Entry, Places, fetch
from corpus.text_server import BIG, CHANGED, CONTENT, HUB, MONDAY, Site

SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER = "0" * 64
COMMIT = "b04c8d1ceb2f5cd4588862100d08de323dccfbaa"


def get(raw: Path, address: str, *mirrors: str, sha256: str = "", size: int = 0) -> Entry:
    """Fetch into an empty folder, as DVC leaves it before each run."""
    for file in sorted(raw.rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()
    source = Source(address, sha256=sha256, bytes=size, licence="CC0")
    (row,) = fetch(source, raw, Places(raw.parent, raw.parent / "kept", mirrors))
    return row


def text(raw: Path) -> bytes:
    (file,) = (file for file in raw.rglob("*") if file.is_file())
    return file.read_bytes()


def ranges(server: Site) -> list[str]:
    return [headers.get("Range", "") for headers in server.headers]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:1080"),
        ("HTTPS_PROXY", "foo://x"),
        ("HTTPS_PROXY", "127.0.0.1:9x"),
        ("NO_PROXY", "localhost,fe80::/10"),
        ("SSL_CERT_FILE", "/nonexistent.pem"),
    ],
)
def test_settings_of_the_environment_that_cannot_be_used_are_named(
    raw: Path, server: Site, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(
        BertlineError, match=rf"one of .*{variable}.*: a proxy or a file of certificates cannot be used"
    ):
        get(raw, f"{server.url}/ok/text.txt".replace("http://", "https://"))


def test_a_file_from_a_web_mirror_is_described_in_its_manifest_row(raw: Path, server: Site) -> None:
    entry = get(raw, "https://ok/text.txt?version=1", server.url, sha256=SHA256, size=len(CONTENT))
    assert text(raw) == CONTENT
    assert server.paths == ["/ok/text.txt"]
    assert entry == {
        "address": "https://ok/text.txt?version=1",
        "path": "text.txt",
        "sha256": SHA256,
        "bytes": len(CONTENT),
        "licence": "CC0",
    }


@pytest.mark.parametrize(
    ("address", "asked"),
    [
        ("https://ok/a%23b.txt", "/ok/a%23b.txt"),
        ("https://ok/50%25%20of%20it%3F.txt", "/ok/50%25%20of%20it%3F.txt"),
        ("https://ok/get.txt?id=1", "/ok/get.txt%3Fid=1"),
        ("mirror:ok/a#b é.txt", "/ok/a%23b%20%C3%A9.txt"),
    ],
)
def test_a_web_mirror_is_asked_for_the_very_name(raw: Path, server: Site, address: str, asked: str) -> None:
    get(raw, address, server.url)
    assert server.paths == [asked]


@pytest.mark.parametrize("manner", ["moved", "503,ok", "corrupt,ok", "stall,ok", "cut,ok", "503,stall,cut,corrupt,ok"])
def test_redirects_are_followed_and_passing_faults_tried_again(raw: Path, server: Site, manner: str) -> None:
    get(raw, f"mirror:{manner}/text.txt", server.url, sha256=SHA256)
    assert text(raw) == CONTENT


@pytest.mark.parametrize(
    ("manner", "ranges_asked"),
    [
        ("cut,ok", ["", f"bytes={len(CONTENT) // 2}-"]),
        ("stall,ok", ["", f"bytes={len(CONTENT) // 2}-"]),
        ("cut,norange", ["", f"bytes={len(CONTENT) // 2}-"]),
        ("cut,elsewhere,ok", ["", f"bytes={len(CONTENT) // 2}-", ""]),
        ("dated,ondated", ["", f"bytes={len(CONTENT) // 2}-"]),
    ],
)
def test_what_has_come_is_gone_on_with(raw: Path, server: Site, manner: str, ranges_asked: list[str]) -> None:
    get(raw, f"mirror:{manner}/text.txt", server.url)
    assert text(raw) == CONTENT
    assert ranges(server) == ranges_asked


@pytest.mark.parametrize(
    "manner",
    ["cut,changed", "cut,glued,changed", "dated,redated", "cut,longer,changed", "bare,changed", "weak,changed"],
)
def test_two_versions_of_a_file_are_never_glued_together(raw: Path, server: Site, manner: str) -> None:
    if manner.startswith(("bare", "weak")):  # no validator that holds a range: a first part is of no use
        (place := raw.parent / "kept").mkdir()
        get(raw, f"mirror:{manner}/text.txt", server.url)
        (state,) = place.rglob("file.json")
        state.rename(state.with_name("part.json"))
        state.with_name("file").rename(state.with_name("part"))
        os.truncate(state.with_name("part"), 100)
    get(raw, f"mirror:{manner}/text.txt", server.url)
    assert text(raw) == CHANGED


def test_a_server_that_is_told_the_version_sends_one_that_has_changed_whole_at_once(raw: Path, server: Site) -> None:
    get(raw, "mirror:cut,changed/text.txt", server.url)
    assert text(raw) == CHANGED
    assert ["If-Range" in headers for headers in server.headers] == [False, True]


def test_the_token_of_the_hub_is_sent_to_no_other_server(
    raw: Path, server: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    get(raw, "mirror:ok/text.txt", server.url)
    assert ["Authorization" in headers for headers in server.headers] == [False]


def test_a_part_outlives_a_run_that_gave_up(raw: Path, server: Site) -> None:
    manner = ",".join(["cut"] * http.TRIES + ["ok"])
    with pytest.raises(BertlineError, match="RemoteProtocolError"):
        get(raw, f"mirror:{manner}/text.txt", server.url)
    assert list(raw.iterdir()) == []
    asked = len(server.paths)
    get(raw, f"mirror:{manner}/text.txt", server.url)
    assert text(raw) == CONTENT
    assert asked == http.TRIES
    assert len(server.paths) == asked + 1
    assert int(ranges(server)[-1][6:-1]) > len(CONTENT) * 0.9


def test_a_run_that_gets_on_may_fail_more_often(raw: Path, server: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_PROGRESS", 1000)
    manner = ",".join(["cut"] * (http.TRIES + 2) + ["ok"])
    get(raw, f"mirror:{manner}/big.txt", server.url)
    assert text(raw) == BIG


def test_a_part_that_was_whole_already_is_only_checked(raw: Path, server: Site) -> None:
    get(raw, "mirror:ok/text.txt", server.url)
    (state,) = (raw.parent / "kept").rglob("file.json")
    state.rename(state.with_name("part.json"))
    state.with_name("file").rename(state.with_name("part"))
    get(raw, "mirror:ok/text.txt", server.url)
    assert text(raw) == CONTENT
    assert ranges(server)[1:] == [f"bytes={len(CONTENT)}-"]


def test_a_part_longer_than_the_file_is_begun_again(raw: Path, server: Site) -> None:
    get(raw, "mirror:ok/text.txt", server.url)
    (state,) = (raw.parent / "kept").rglob("file.json")
    state.rename(state.with_name("part.json"))
    state.with_name("part").write_bytes(CONTENT + b"more")
    state.with_name("file").unlink()
    get(raw, "mirror:ok/text.txt", server.url)
    assert text(raw) == CONTENT
    assert ranges(server)[1:] == [f"bytes={len(CONTENT) + 4}-", ""]


@pytest.mark.parametrize(
    ("manner", "sha256", "size", "problem", "tries"),
    [
        ("ok/lost.txt", "", 0, "HTTP status 404", 1),
        ("403/text.txt", "", 0, "HTTP status 403", 1),
        ("204/text.txt", "", 0, "HTTP status 204", 1),
        ("503/text.txt", "", 0, "HTTP status 503", http.TRIES),
        ("packed/text.txt", "", 0, r"packs it on the way \(Content-Encoding: gzip\)", 1),
        ("416/text.txt", "", 0, "HTTP status 416", http.TRIES),
        ("cut/text.txt", "", 0, "RemoteProtocolError", http.TRIES),
        ("stall/text.txt", "", 0, r"no byte for 0\.3 s", http.TRIES),
        ("ok/text.txt", OTHER, 0, f"sha256 is {SHA256}, expected {OTHER}", http.TRIES),
        ("short/text.txt", SHA256, 0, f"expected {SHA256}", http.TRIES),
        ("short/text.txt", "", len(CONTENT), "expected 26,890", http.TRIES),
        ("unannounced/text.txt", "", 100, "more than 100 bytes", http.TRIES),
        ("unannounced/text.txt", "", 10**6, "26,890 of 1,000,000", http.TRIES),
    ],
)
def test_a_bad_answer_leaves_nothing_behind(
    raw: Path, server: Site, manner: str, sha256: str, size: int, problem: str, tries: int
) -> None:
    with pytest.raises(BertlineError, match=problem):
        get(raw, f"mirror:{manner}", server.url, sha256=sha256, size=size)
    assert list(raw.iterdir()) == []
    assert len(server.paths) == tries


def test_a_file_that_is_published_packed_may_be_called_encoded(raw: Path, server: Site) -> None:
    get(raw, "mirror:packed/text.txt.gz", server.url)
    assert gzip.decompress(text(raw)) == CONTENT


def test_a_wrong_size_is_refused_before_the_body_is_read(raw: Path, server: Site) -> None:
    with pytest.raises(BertlineError, match=r"it has 4,033,500 bytes, expected 5"):
        get(raw, "mirror:ok/big.txt", server.url, size=5)
    assert not list((raw.parent / "kept").rglob("part"))


def test_waits_double_and_are_as_long_as_the_server_asks(raw: Path, server: Site, waits: list[float]) -> None:
    get(raw, "mirror:503,503,503,429,ok/text.txt", server.url)
    assert waits == [0.5, 1, 2, 3]
    get(raw, "mirror:429,date/text.txt", server.url)
    assert 5 < waits[-1] <= 7


def test_a_server_that_asks_for_hours_is_given_up(raw: Path, server: Site, waits: list[float]) -> None:
    with pytest.raises(BertlineError, match=r"HTTP status 429; it asks to wait for 9,999 s"):
        get(raw, "mirror:429,long/text.txt", server.url)
    assert waits == []


def test_nobody_listening_is_said_in_one_error_without_the_password(raw: Path, waits: list[float]) -> None:
    with pytest.raises(BertlineError, match=r"http://127.0.0.1:9/text\.txt: ConnectError.*BERTLINE_MIRROR") as caught:
        get(raw, "mirror:text.txt", "http://user:secret@127.0.0.1:9")
    assert "secret" not in str(caught.value)


def test_what_is_kept_of_a_file_has_no_password_in_it_and_goes_on_all_the_same(raw: Path, server: Site) -> None:
    mirror = server.url.replace("//", "//me:geheim@")
    with pytest.raises(BertlineError):
        get(raw, "mirror:cut,404,ok/text.txt", mirror)
    get(raw, "mirror:cut,404,ok/text.txt", mirror)
    get(raw, "mirror:cut,404,ok/text.txt", mirror)
    assert ranges(server)[-2].startswith("bytes=") and server.headers[-1].get("If-None-Match")
    kept = list((raw.parent / "kept").rglob("*.json"))
    assert kept and all("geheim" not in file.read_text() for file in kept)


def test_a_password_of_netrc_is_sent_to_its_own_host_alone(
    raw: Path, server: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = raw.parent / "netrc"
    monkeypatch.setenv("NETRC", str(netrc))
    sent = []
    for host, mirror in (
        ("127.0.0.1", server.url),
        ("example.org", server.url),
        ("127.0.0.1", server.url.replace("//", "//its:own@")),
    ):
        netrc.write_text(f"machine {host} login me password geheim\n")
        get(raw, "mirror:bare/text.txt", mirror)
        sent.append(server.headers[-1].get("Authorization"))
    assert sent == ["Basic bWU6Z2VoZWlt", None, "Basic aXRzOm93bg=="]  # me:geheim; none; its:own
    netrc.write_text("machine\nlogin me\npasswort geheim\n")
    with pytest.raises(BertlineError, match=r"netrc: not a netrc file \(line \d: .*NETRC") as caught:
        get(raw, "mirror:bare/text.txt", server.url)
    assert "geheim" not in str(caught.value)


def test_an_unchanged_file_is_asked_for_but_not_fetched_again(raw: Path, server: Site) -> None:
    first = get(raw, "mirror:ok/text.txt", server.url)
    again = get(raw, "mirror:ok/text.txt", server.url)
    assert again == first and text(raw) == CONTENT
    assert server.headers[1]["If-None-Match"]
    assert next(raw.iterdir()).stat().st_nlink == 2, "linked, not copied"


def test_a_file_under_a_date_is_asked_for_by_its_date(raw: Path, server: Site) -> None:
    for _ in range(2):
        get(raw, "mirror:ondated/text.txt", server.url)
    assert [headers.get("If-Modified-Since") for headers in server.headers] == [None, MONDAY]


@pytest.mark.parametrize("manner", ["accented", "localised"])
def test_validators_that_cannot_be_sent_back_are_none(manner: str, raw: Path, server: Site) -> None:
    """HTTP's headers are ASCII; some servers make entity tags of file names, and dates in their own language."""
    for _ in range(2):
        get(raw, f"mirror:{manner}/text.txt", server.url)
    assert text(raw) == CONTENT
    assert not {"If-None-Match", "If-Modified-Since"} & set(server.headers[1])


def test_what_came_from_one_place_is_neither_gone_on_with_nor_compared_at_another(raw: Path, server: Site) -> None:
    """Under the same entity tag there may be something else."""
    with pytest.raises(BertlineError, match="RemoteProtocolError"):
        get(raw, "mirror:cut/text.txt", server.url)
    get(raw, "mirror:cut/text.txt", f"{server.url}/ok")
    get(raw, "mirror:cut/text.txt", f"{server.url}/moved")
    assert len(server.paths) == http.TRIES + 3, "one, and one that is moved"
    assert not any({"Range", "If-None-Match"} & set(headers) for headers in server.headers[http.TRIES :])


def test_a_server_that_goes_on_calling_a_wrong_file_unchanged_is_asked_for_it_anew(raw: Path, server: Site) -> None:
    get(raw, "mirror:ok/text.txt", server.url)
    with pytest.raises(BertlineError, match=f"sha256 is {SHA256}, expected {OTHER}"):
        get(raw, "mirror:ok/text.txt", server.url, sha256=OTHER)
    assert ["If-None-Match" in headers for headers in server.headers] == [False, True, *[False] * (http.TRIES - 1)]


def test_a_changed_file_is_fetched_again(raw: Path, server: Site) -> None:
    get(raw, "mirror:ok,changed/text.txt", server.url)
    get(raw, "mirror:ok,changed/text.txt", server.url)
    assert text(raw) == CHANGED


def test_a_file_of_known_hash_is_not_asked_for_again_unless_the_kept_one_is_damaged(raw: Path, server: Site) -> None:
    for _ in range(2):
        get(raw, "mirror:ok/text.txt", server.url, sha256=f"{OTHER} {SHA256}")
    assert len(server.paths) == 1
    (kept,) = (raw.parent / "kept").rglob("file")
    kept.write_bytes(b"?" + CONTENT[1:])
    get(raw, "mirror:ok/text.txt", server.url, sha256=SHA256)
    assert text(raw) == CONTENT
    assert len(server.paths) == 2


def test_a_kept_file_is_no_answer_to_another_hash(raw: Path, server: Site) -> None:
    get(raw, "mirror:ok,ok,changed/text.txt", server.url)
    sha256 = hashlib.sha256(CHANGED).hexdigest()
    get(raw, "mirror:ok,ok,changed/text.txt", server.url, sha256=sha256)
    assert text(raw) == CHANGED


def test_a_mirror_without_the_file_or_with_a_wrong_one_is_passed_over(raw: Path, server: Site) -> None:
    wrong = raw.parent / "wrong"
    (wrong / "ok").mkdir(parents=True)
    (wrong / "ok" / "text.txt").write_text("something else")
    get(raw, "mirror:ok/text.txt", str(raw.parent / "nowhere"), str(wrong), server.url, sha256=SHA256)
    assert text(raw) == CONTENT


def test_https_goes_through_the_proxy_of_the_environment(raw: Path, secure: Site) -> None:
    get(raw, "https://host/moved/text.txt", sha256=SHA256)
    assert text(raw) == CONTENT
    assert set(secure.hosts) == {"host:443"}


def test_a_redirect_from_https_to_http_is_refused_before_it_is_followed(raw: Path, secure: Site) -> None:
    with pytest.raises(BertlineError, match=r"redirected from https to http://127\.0\.0\.1:9/secret\.txt\)") as caught:
        get(raw, "https://host/plain/text.txt")
    assert "signature" not in str(caught.value)
    assert len(secure.paths) == 1


@pytest.mark.parametrize(
    ("address", "asked"),
    [
        (f"hf://datasets/a/b@{COMMIT}/data/x y#1.txt", f"/datasets/a/b/resolve/{COMMIT}/data/x%20y%231.txt"),
        ("hf://datasets/a/b/text.txt", "/datasets/a/b/resolve/main/text.txt"),
        ("hf://datasets/b@v1.0/text.txt", "/datasets/b/resolve/v1.0/text.txt"),
        ("hf://datasets/a/b@refs/convert/parquet/t.txt", "/datasets/a/b/resolve/refs%2Fconvert%2Fparquet/t.txt"),
    ],
)
def test_an_address_of_the_hub_is_resolved_and_its_token_stays_there(
    raw: Path, secure: Site, monkeypatch: pytest.MonkeyPatch, address: str, asked: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    entry = get(raw, address)
    assert text(raw) == CONTENT
    assert entry["address"] == address
    assert entry["path"].startswith(("a/b/", "b/"))
    assert secure.paths == [asked, "/ok/text.txt?signature=abc"]
    assert secure.hosts == [f"{HUB}:443", "cdn.example:443"]
    assert [headers.get("Authorization") for headers in secure.headers] == ["Bearer hf_secret", None]
    assert "hf_secret" not in "".join(file.read_text() for file in (raw.parent / "kept").rglob("*.json"))


def test_a_token_goes_to_the_hub_before_a_password_of_netrc(
    raw: Path, secure: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETRC", str(raw.parent / "netrc"))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    for entry in (f"machine {HUB}", "default"):
        (raw.parent / "netrc").write_text(f"{entry} login me password geheim\n")
        get(raw, f"hf://datasets/a/private@{entry.partition(' ')[0]}/text.txt")
    assert [headers.get("Authorization") for headers in secure.headers] == ["Bearer hf_secret", None] * 2
    monkeypatch.delenv("HF_TOKEN")
    get(raw, "hf://datasets/a/b/text.txt")
    assert secure.headers[-2]["Authorization"] == "Basic bWU6Z2VoZWlt"  # me:geheim


@pytest.mark.parametrize("token", ["hf_\u2026", "hf_secret\nsecond", "hf_secret\x01"])
def test_what_cannot_be_a_token_is_named_and_neither_sent_nor_shown(
    token: str, raw: Path, secure: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The Hub shows a token abridged, with an ellipsis, and so it may be copied."""
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(BertlineError, match=r"^HF_TOKEN: no token of the Hub") as caught:
        get(raw, "hf://datasets/a/b/text.txt")
    assert "secret" not in str(caught.value) + "".join(capsys.readouterr())
    assert secure.paths == []


def test_what_the_user_expects_of_a_file_counts_before_what_the_hub_says(raw: Path, secure: Site) -> None:
    with pytest.raises(BertlineError, match=f"sha256 is {SHA256}, expected {OTHER}"):
        get(raw, "hf://datasets/a/b/text.txt", sha256=OTHER)


def test_a_file_that_is_not_what_the_hub_says_is_refused(raw: Path, secure: Site) -> None:
    with pytest.raises(BertlineError, match=f"sha256 is {SHA256}, expected"):
        get(raw, "hf://datasets/a/damaged/text.txt")
    assert list(raw.iterdir()) == []


def test_a_private_dataset_asks_for_a_token_and_does_not_show_it(
    raw: Path, secure: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(BertlineError, match=r"HTTP status 401 \(set HF_TOKEN") as caught:
        get(raw, "hf://datasets/a/private/text.txt")
    assert "hf_wrong" not in str(caught.value) + "".join(capsys.readouterr())


def test_a_file_of_a_commit_is_never_asked_for_again(raw: Path, secure: Site) -> None:
    for _ in range(2):
        get(raw, f"hf://datasets/a/b@{COMMIT}/text.txt")
    assert len(secure.paths) == 2  # the redirect, the file
    get(raw, "hf://datasets/a/b@main/text.txt")
    get(raw, "hf://datasets/a/b@main/text.txt")
    assert len(secure.paths) == 6


def test_a_mirror_of_the_hub_is_laid_out_like_it(raw: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mirror" / HUB / "datasets" / "a" / "b" / "resolve" / COMMIT
    folder.mkdir(parents=True)
    (folder / "x y.txt").write_bytes(CONTENT)
    assert get(raw, f"hf://datasets/a/b@{COMMIT}/x y.txt", str(tmp_path / "mirror"))["path"] == "a/b/x y.txt"


def test_a_log_says_how_far_a_file_has_come_and_why_it_is_tried_again(
    raw: Path, server: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(transfer_progress, "EVERY", 0.0)
    get(raw, "mirror:503,ok/big.txt", server.url)
    shown = capsys.readouterr().err.splitlines()
    assert shown[0] == f"{server.url}/503,ok/big.txt: HTTP status 503; tried again in 0.5 s"
    assert shown[-1].startswith("big.txt: 4.0 of 4.0 MB (100%), ")


def test_a_run_that_was_killed_is_gone_on_with(tmp_path: Path, server: Site) -> None:
    (tmp_path / "params.yaml").write_text('download: {sources: [{address: "mirror:stall,ok/big.txt"}]}\n')
    command = [sys.executable, "-m", "bertline.stages.download", "--root", str(tmp_path)]
    environment = {**os.environ, "BERTLINE_MIRROR": server.url}
    with subprocess.Popen(command, env=environment) as first:
        kept = tmp_path / "data" / "runs" / "download"
        while sum(file.stat().st_size for file in kept.rglob("part")) < 1_000_000:
            assert first.poll() is None
            time.sleep(0.02)
        first.send_signal(signal.SIGKILL)
    assert not (tmp_path / "data" / "raw").exists()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert (tmp_path / "data" / "raw" / "big.txt").read_bytes() == BIG
    assert int(ranges(server)[1][6:-1]) >= 1_000_000
    assert not list(kept.rglob("part*"))
    manifest = json.loads((tmp_path / "data" / "raw" / "manifest.json").read_text())
    assert "127.0.0.1" not in json.dumps(manifest)


@pytest.mark.parametrize("place", ["http://[::1", f"http://{'a' * 70}.example", "http://xn--"])
def test_a_mirror_that_is_no_address_is_named_with_what_is_wrong(place: str, raw: Path) -> None:
    with pytest.raises(BertlineError, match=r"mirror:a/b\.txt: could not be fetched .*BERTLINE_MIRROR") as caught:
        get(raw, "mirror:a/b.txt", place)
    assert f"{place}/a/b.txt: " in str(caught.value)
