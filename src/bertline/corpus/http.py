"""One file over HTTP(S): tried again, gone on with, checked.

    sha256 = download("https://host/path", kept, Expected())

What has come stays in `kept` when a try fails, or the whole run; the next one asks for the rest (Range), on condition
that the file is still that version (If-Range). A file that is already there whole is asked for only in case it has
changed (If-None-Match). Redirects are followed, but never from https to http. Proxies and certificates are those of the
environment (HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE), as for curl. User names and passwords are read from ~/.netrc, or
the file that NETRC names; HF_TOKEN is sent to the Hub alone.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from netrc import NetrcParseError
from pathlib import Path
from time import sleep
from urllib.parse import urlsplit

import httpx

from bertline.base.errors import BertlineError, masked, reason
from bertline.base.files import sha256_file
from bertline.base.messages import say
from bertline.corpus.addresses import HUB
from bertline.corpus.kept import Expected, Kept, State
from bertline.corpus.transfer_progress import TransferProgress

TRIES = 5  # in a row without progress
BACK_OFF = 0.5  # seconds before the second try; doubled for each further one
MAX_WAIT = 300.0  # seconds; a server that asks for a longer pause is given up
CONNECT = 10.0  # seconds to wait for a connection
STALL = 60.0  # seconds to wait for the next byte
_PROGRESS = 1 << 20  # bytes that count as progress
_REDIRECTS = 20
_BUFFER = 1 << 20
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
_ENCODED_NAMES = {"gzip": (".gz", ".tgz"), "bzip2": (".bz2", ".tbz2", ".tbz"), "zstd": (".zst", ".tzst")}
_HUB_TOKEN = "HF_TOKEN"
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Unavailable(Exception):
    """A place does not have the file, or not the right one; another place may."""


class _Passing(Exception):
    """A try failed in a way that may pass; `wait` is how many seconds the server asks for, if it does."""

    def __init__(self, message: str, wait: float = 0) -> None:
        super().__init__(message)
        self.wait = wait


def shown(address: str) -> str:
    """A URL for messages: without what may be a secret (a password, a signed query); a path as it is."""
    if "://" not in address:
        return address
    scheme, _, rest = address.partition("://")
    host, slash, path = re.split("[?#]", rest, maxsplit=1)[0].partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def download(url: str, kept: Kept, expected: Expected) -> str:
    """Make `kept.file` what the URL has, right and whole; return its sha256.

    Connection faults, stalls, transient statuses, a body cut short, and a wrong size or hash are failed tries: TRIES of
    them in a row without progress are too many. Between them it waits BACK_OFF, doubled each time, or as long as the
    server asks for (Retry-After).

    Raises:
        Unavailable: the URL does not have the file, or not the right one.
    """
    failures = most = 0
    with _client(url) as client:
        while True:
            try:
                return _attempt(client, url, kept, expected)
            except _Passing as fault:
                size = kept.part_size()
                failures = 1 if size >= most + _PROGRESS else failures + 1
                most = max(most, size)
                if failures >= TRIES:
                    raise Unavailable(str(fault)) from None
                wait = fault.wait or BACK_OFF * 2 ** (failures - 1)
                if wait > MAX_WAIT:
                    raise Unavailable(f"{fault}; it asks to wait for {wait:,.0f} s") from None
                say(f"{shown(url)}: {fault}; tried again in {wait:g} s")
                sleep(wait)


def _client(url: str) -> httpx.Client:
    """A client with the proxies and certificates of the environment.

    Raises:
        BertlineError: httpx refuses these.
    """
    credentials = _credentials(url)
    try:
        return httpx.Client(timeout=httpx.Timeout(STALL, connect=CONNECT), auth=credentials)
    except (ValueError, ImportError, OSError, httpx.InvalidURL) as error:
        variables = "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE, SSL_CERT_DIR"
        what = f"a proxy or a file of certificates cannot be used ({reason(error)})"
        fix = "Correct or unset the one that is wrong; for a proxy by SOCKS, `pip install 'httpx[socks]'`"
        raise BertlineError(what, where=f"one of {variables}", fix=fix) from None


def _credentials(url: str) -> httpx.NetRCAuth | None:
    """The passwords of hosts that the user keeps, as for curl --netrc; none where the URL (of a mirror) has its own, or
    the Hub gets a token: httpx would send the password in its place.

    Raises:
        BertlineError: the file cannot be read.
    """
    file = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    own = "@" in url.partition("://")[2].partition("/")[0] or _token(url)
    try:
        return httpx.NetRCAuth(str(file)) if file.exists() and not own else None
    except NetrcParseError as error:
        fix = "Correct the line, or set NETRC to another file"
        raise BertlineError(f"not a netrc file (line {error.lineno}: {error.msg})", where=str(file), fix=fix) from None


def _attempt(client: httpx.Client, url: str, kept: Kept, expected: Expected) -> str:
    try:
        with _answer(client, url, _headers(url, kept)) as (response, checks):
            return _take(response, url, kept, _with(expected, checks))
    except httpx.ReadTimeout:
        raise _Passing(f"no byte for {STALL:g} s") from None
    except (httpx.UnsupportedProtocol, httpx.InvalidURL, UnicodeError) as error:  # the last: no name of a host
        raise Unavailable(f"{type(error).__name__}: {error}") from None
    except httpx.TransportError as error:
        raise _Passing(f"{type(error).__name__}: {error}") from None


def _headers(url: str, kept: Kept) -> dict[str, str]:
    """The headers of the request: the rest of a part, or a whole file if it has changed, where there is one."""
    # The bytes as published: a body that the server compresses on the way would not match its hash.
    headers = {"Accept-Encoding": "identity"}
    if token := _token(url):
        headers["Authorization"] = f"Bearer {token}"
    part, size, known = kept.part_state(), kept.part_size(), masked(url)
    if size and part.get("url") == known and _validator(part):
        return headers | {"Range": f"bytes={size}-", "If-Range": _validator(part)}
    whole = kept.whole()
    if whole.get("url") == known and whole.get("etag"):
        headers["If-None-Match"] = whole["etag"]
    elif whole.get("url") == known and whole.get("modified"):
        headers["If-Modified-Since"] = whole["modified"]
    return headers


def _token(url: str) -> str:
    """What HF_TOKEN says, for a URL of the Hub; else nothing.

    Raises:
        BertlineError: it holds what no header can, and httpx would show it whole.
    """
    token = os.environ.get(_HUB_TOKEN, "").strip() if url.startswith(f"{HUB}/") else ""
    if not (token.isascii() and token.isprintable()):
        fix = "Copy it whole: the Hub shows it once, and abridged ever after"
        raise BertlineError("no token of the Hub", where=_HUB_TOKEN, fix=fix)
    return token


def _validator(state: State) -> str:
    """What If-Range can hold: a strong entity tag, or a date."""
    etag = str(state.get("etag") or "")
    return etag if etag and not etag.startswith("W/") else str(state.get("modified") or "")


@contextmanager
def _answer(client: httpx.Client, url: str, headers: dict[str, str]) -> Iterator[tuple[httpx.Response, Expected]]:
    """The answer after redirects, its body unread, and what the Hub says the file must be.

    httpx leaves Authorization out of a redirect to another host.
    """
    request = client.build_request("GET", url, headers=headers)
    checks = Expected()
    for _ in range(_REDIRECTS):
        response = client.send(request, stream=True)
        try:
            if url.startswith(f"{HUB}/") and str(response.url).startswith(f"{HUB}/"):
                checks = _with(checks, _said_by_hub(response))
            following = response.next_request
            if following is None:
                yield response, checks
                return
            if request.url.scheme == "https" and following.url.scheme != "https":
                raise Unavailable(f"redirected from https to {shown(str(following.url))}")
            request = following
        finally:
            response.close()
    raise Unavailable(f"more than {_REDIRECTS} redirects")


def _said_by_hub(response: httpx.Response) -> Expected:
    """Of a large file, the Hub names sha256 and size when it redirects to where it lies."""
    etag = response.headers.get("X-Linked-Etag", "").strip('"')
    size = response.headers.get("X-Linked-Size", "")
    return Expected((etag,) if _SHA256.fullmatch(etag) else (), int(size) if size.isdecimal() else 0)


def _with(expected: Expected, checks: Expected) -> Expected:
    """What the user expects counts; where they say nothing, what the Hub does."""
    return Expected(expected.sha256 or checks.sha256, expected.bytes or checks.bytes)


def _take(response: httpx.Response, url: str, kept: Kept, expected: Expected) -> str:
    """Receive the body into the part and finish it."""
    asked = kept.part_size() if "Range" in response.request.headers else 0
    if response.status_code == 304 and (whole := kept.whole()):
        problem = expected.problem(whole["sha256"], whole["bytes"])
        if problem:
            kept.drop_file()
            raise _Passing(problem)
        return str(whole["sha256"])
    if response.status_code == 416:
        if asked and response.headers.get("Content-Range") == f"bytes */{asked}":
            return _finish(kept, expected)  # it was whole; only its check is missing
        kept.drop_part()
        raise _Passing("HTTP status 416: it has no such range; begun again")
    if response.status_code not in (200, 206):
        raise _refusal(response, url)
    _refuse_packed(response, url)
    # Masked: a mirror's password is not for a file that others may read.
    known = masked(url)
    etag, modified = _validator_of(response, "ETag"), _validator_of(response, "Last-Modified")
    state = {"url": known, "etag": etag, "modified": modified}
    offset, total = _extent(response, asked, state, kept)
    if expected.bytes and total not in (None, expected.bytes):
        kept.drop_part()
        raise _Passing(f"it has {total:,} bytes, expected {expected.bytes:,}")
    if not offset:
        kept.begin({**state, "bytes": total})
    _receive(response, kept, offset, total or expected.bytes or None)
    return _finish(kept, expected)


def _validator_of(response: httpx.Response, header: str) -> str | None:
    """What a header says, where it can be sent back: some servers make entity tags of names that are not in ASCII."""
    value: str | None = response.headers.get(header)
    return value if value and value.isascii() else None


def _refusal(response: httpx.Response, url: str) -> Exception:
    status = response.status_code
    if status in _TRANSIENT:
        return _Passing(f"HTTP status {status}", _retry_after(response.headers.get("Retry-After", "")))
    locked = status in (401, 403) and url.startswith(f"{HUB}/")
    hint = f" (set {_HUB_TOKEN} to a token that may read it, or check its name)" if locked else ""
    return Unavailable(f"HTTP status {status}{hint}")


def _refuse_packed(response: httpx.Response, url: str) -> None:
    """Refuse a body that the server packed on the way: neither its hash nor its ranges are those of the file.

    A file that is published packed (text.gz) is no such body, though servers often call its packing an encoding.

    Raises:
        Unavailable: it is one.
    """
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    names = tuple(_ENCODED_NAMES.get(encoding.removeprefix("x-"), ()))
    published = any(urlsplit(place).path.lower().endswith(names) for place in (url, str(response.url)))
    if encoding not in ("", "identity") and not published:
        raise Unavailable(f"its server packs it on the way (Content-Encoding: {encoding}), though asked not to")


def _retry_after(value: str) -> float:
    """Seconds to wait, from a Retry-After header: a number of them, or a date; 0 if there is none."""
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0


def _extent(response: httpx.Response, asked: int, state: State, kept: Kept) -> tuple[int, int | None]:
    """Where the body begins in the file, and how long the whole file is, if it is said."""
    if response.status_code == 200:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None
    span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if not span or not asked or int(span[1]) != asked:
        kept.drop_part()
        raise _Passing("not the range asked for")
    total = None if span[2] == "*" else int(span[2])
    if _changed(kept.part_state(), {**state, "bytes": total}):
        kept.drop_part()
        raise _Passing("the file has changed since its first part came")
    return asked, total


def _changed(before: State, now: State) -> bool:
    """Whether a range is of another version than the part before it: servers there are that do not know If-Range.

    Where a strong entity tag is the same, the date says nothing: servers of one file may have copied it at other times.
    """
    same = now.get("etag") and now["etag"] == before.get("etag") == _validator(before)
    names = ("etag", "bytes") if same else ("etag", "bytes", "modified")
    return any(before.get(name) and now.get(name) and before[name] != now[name] for name in names)


def _receive(response: httpx.Response, kept: Kept, offset: int, total: int | None) -> None:
    size = offset
    # As blocks come: gathered to larger ones, the last of them would be lost when the connection breaks.
    with (
        kept.part.open("ab" if offset else "wb", buffering=_BUFFER) as out,
        TransferProgress(kept.address.rpartition("/")[2], offset, total) as progress,
    ):
        for block in response.iter_raw():
            size += len(block)
            if total is not None and size > total:
                break
            out.write(block)
            progress.add(len(block))
    if total is not None and size > total:
        kept.drop_part()
        raise _Passing(f"more than {total:,} bytes came")
    if total is not None and size < total:
        raise _Passing(f"{size:,} of {total:,} bytes came")


def _finish(kept: Kept, expected: Expected) -> str:
    sha256 = sha256_file(kept.part)
    problem = expected.problem(sha256, kept.part_size())
    if problem:
        kept.drop_part()
        raise _Passing(problem)
    kept.finish(sha256)
    return sha256
