"""Web servers that behave as the path tells them to, and a proxy that leads every https host to one of them."""

import gzip
import hashlib
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CONTENT = b"".join(b"Paragraph %d of the text.\n" % number for number in range(1000))
CHANGED = CONTENT.upper()
BIG = CONTENT * 150  # 3.8 MB
OTHER_VERSIONS = {"changed": CHANGED, "glued": CHANGED, "redated": CHANGED, "longer": CHANGED * 2}
MONDAY, TUESDAY = "Mon, 01 Jan 2024 00:00:00 GMT", "Tue, 02 Jan 2024 00:00:00 GMT"
DATES = {"dated": MONDAY, "ondated": MONDAY, "redated": TUESDAY, "localised": "lun., 01 f\xe9vr. 2024 00:00:00 GMT"}
HUB = "huggingface.co"
STALL = 5.0  # seconds; a client under test waits less


class Site:
    """A running server: its address, and every request it got, in order."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.hosts: list[str] = []  # that a proxy was asked for


class TextHandler(BaseHTTPRequestHandler):
    """`/a,b/text.txt` is answered in the manner `a` at first, then in the manner `b`, for ever.

    Manners: ok (with Range, If-Range, If-None-Match), changed (another version, the same way), cut (half of what is
    asked), stall (half, then silence), corrupt, short (announces half, and sends that), unannounced (no length), bare
    (no validators), weak (a weak entity tag only), norange (200 to a Range), glued (206 to a Range that has changed),
    dated (half, under a date alone), ondated (the rest, under that date), redated (as glued, under another date),
    longer (as glued, of more bytes and under nothing), accented and localised (validators not in ASCII), elsewhere
    (206 of another range), packed (with gzip, unasked), moved (to /ok/), plain (to http), or a status: 503, 429
    (Retry-After), 404, ….
    """

    protocol_version = "HTTP/1.1"
    site: Site

    def do_GET(self) -> None:
        self.site.paths.append(self.path)
        self.site.headers.append(dict(self.headers))
        if self.path.startswith("/datasets/"):
            self._as_hub()
            return
        manners = self.path.strip("/").partition("/")[0].split(",")
        manner = manners[min(self.site.paths.count(self.path), len(manners)) - 1]
        content = BIG if self.path.endswith("big.txt") else CONTENT
        if self.path.endswith("lost.txt"):
            self._send(404, b"no such page")
        elif manner.isdecimal():
            self._send(int(manner), b"", {"Retry-After": self._retry_after(manners)} if manner == "429" else {})
        elif manner in ("moved", "plain"):
            target = "/ok/text.txt" if manner == "moved" else "http://127.0.0.1:9/secret.txt?signature=abc"
            self._send(302, b"", {"Location": target})
        elif manner == "packed":
            self._send(
                200, gzip.compress(content), {"Content-Encoding": "x-gzip" if self.path.endswith(".gz") else "gzip"}
            )
        elif manner == "corrupt":
            self._send(200, b"?" + content[1:])
        else:
            self._as(manner, OTHER_VERSIONS.get(manner, content))

    def _retry_after(self, manners: list[str]) -> str:
        if "date" in manners:
            return format_datetime(datetime.now(UTC) + timedelta(seconds=7), usegmt=True)
        return "9999" if "long" in manners else "3"

    def _as(self, manner: str, content: bytes) -> None:
        etag = f'"{hashlib.md5(content).hexdigest()}"'
        if manner in DATES or manner in ("bare", "longer"):
            headers = {"Last-Modified": DATES[manner]} if manner in DATES else {}
        else:
            headers = {"ETag": f"W/{etag}" if manner == "weak" else '"\xe9"' if manner == "accented" else etag}
        if headers.get("ETag") and self.headers.get("If-None-Match") == headers["ETag"]:
            self._send(304, b"", headers)
            return
        first = int((re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")) or [0, 0])[1])
        knows_if_range = manner not in ("glued", "longer", *DATES)
        if manner == "norange" or (self.headers.get("If-Range", etag) != etag and knows_if_range):
            first = 0
        if first >= len(content):
            self._send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            return
        status, body = (206, content[first:]) if first else (200, content)
        if first:
            first += manner == "elsewhere"
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        self._send(status, body, headers, manner=manner)

    def _as_hub(self) -> None:
        """Hugging Face: a redirect to where large files lie, with their hash; private things need a token."""
        if "private" in self.path and self.headers.get("Authorization") != "Bearer hf_secret":
            self._send(401, b"")
            return
        sha256 = hashlib.sha256(CHANGED if "damaged" in self.path else CONTENT).hexdigest()
        location = "https://cdn.example/ok/text.txt?signature=abc"
        linked = {"X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": str(len(CONTENT))}
        self._send(302, b"", {"Location": location, **linked})

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None, *, manner: str = "") -> None:
        self.send_response(status)
        half = len(body) // 2
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if manner == "unannounced":
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(half if manner == "short" else len(body)))
        self.end_headers()
        with suppress(ConnectionError):  # a client may leave as soon as it has seen the headers
            self.wfile.write(body[:half] if manner in ("short", "cut", "stall", "dated") else body)
        if manner == "stall":
            self.wfile.flush()
            time.sleep(STALL)
        self.close_connection = manner in ("cut", "stall", "unannounced", "short", "dated")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Proxy(BaseHTTPRequestHandler):
    """Answers CONNECT to any host with a tunnel to one port."""

    site: Site
    port: int

    def do_CONNECT(self) -> None:
        self.site.hosts.append(self.path)
        self.send_response(200)
        self.end_headers()
        with socket.create_connection(("127.0.0.1", self.port)) as there:
            here = self.connection
            while True:
                for source in select.select([here, there], [], [])[0]:
                    block = source.recv(1 << 16)
                    if not block:
                        return
                    (there if source is here else here).sendall(block)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], certificate: Path | None = None, **settings: Any) -> Iterator[Site]:
    """A server that runs until the end, over TLS if it is given a certificate with its key."""
    kind = type("Handler", (handler,), settings)
    with ThreadingHTTPServer(("127.0.0.1", 0), cast(type[BaseHTTPRequestHandler], kind)) as server:
        server.daemon_threads = True
        server.block_on_close = False
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        site = kind.__dict__.get("site") or Site(server.server_port)
        site.url = f"http://127.0.0.1:{server.server_port}"
        kind.site = site  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield site
        server.shutdown()
        thread.join()


@contextmanager
def secure_web(folder: Path) -> Iterator[tuple[Site, dict[str, str]]]:
    """A web in which every https host is one server, and the environment that leads into it."""
    certificate = _certificate(folder, "host", "cdn.example", HUB)
    with serving(TextHandler, certificate) as site:
        port = int(site.url.rpartition(":")[2])
        hidden = Site(0)
        with serving(_Proxy, site=hidden, port=port):
            site.hosts = hidden.hosts
            yield site, {"HTTPS_PROXY": hidden.url, "SSL_CERT_FILE": str(certificate)}


def _certificate(folder: Path, *names: str) -> Path:
    """A self-signed certificate for these hosts, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    start = datetime.now(UTC) - timedelta(days=1)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(start).not_valid_after(start + timedelta(days=30))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    path = folder / "certificate.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    return path
