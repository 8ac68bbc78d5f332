"""A web server that behaves as the path tells it to."""

from http.server import BaseHTTPRequestHandler

CONTENT = b"A paragraph of text.\n" * 1000


class TextHandler(BaseHTTPRequestHandler):
    """Paths: /text.txt whole; /cut/ shorter than announced; /flaky/ 503 at first; /moved/ a redirect; others 404."""

    protocol_version = "HTTP/1.1"
    requests: list[str]

    def do_GET(self) -> None:
        self.requests.append(self.path)
        first = self.path.strip("/").partition("/")[0]
        if first == "flaky" and self.requests.count(self.path) == 1:
            self._answer(503, b"busy")
        elif first == "moved":
            self.send_response(302)
            self.send_header("Location", "/host/text.txt")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path.endswith("text.txt"):
            self._answer(200, CONTENT, cut=first == "cut")
        else:
            self._answer(404, b"no such page")

    def _answer(self, status: int, body: bytes, *, cut: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = cut

    def log_message(self, *_: object) -> None:
        """Say nothing."""
