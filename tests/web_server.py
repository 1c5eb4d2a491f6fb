"""A web server on this machine that serves files, and on request lies, stalls, breaks off or never ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """What the server does: content by path, behaviours in turn by path ("serve" where none is left)."""

    url: str = ""
    content: dict[str, bytes] = field(default_factory=dict)
    behaviours: dict[str, list[str]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def _head(self, length: int | None) -> None:
            self.send_response(200)
            if length is not None:
                self.send_header("Content-Length", str(length))
            self.end_headers()

        def do_GET(self) -> None:
            site.requests.append(self.path)
            waiting = site.behaviours.get(self.path, [])
            behaviour = waiting.pop(0) if waiting else "serve"
            if self.path not in site.content or behaviour == "refuse":
                self.send_error(503 if behaviour == "refuse" else 404)
                return
            content = site.content[self.path]
            half = content[: len(content) // 2]
            with suppress(BrokenPipeError, ConnectionResetError):  # the client has had enough, as it should
                getattr(self, f"_{behaviour}")(content, half)

        def _serve(self, content: bytes, _: bytes) -> None:
            self._head(len(content))
            self.wfile.write(content)

        def _lie(self, content: bytes, _: bytes) -> None:
            """As many bytes as promised, the last of them wrong."""
            self._head(len(content))
            self.wfile.write(content[:-1] + bytes([content[-1] ^ 1]))

        def _break(self, content: bytes, half: bytes) -> None:
            """Half of what was promised, then the connection closes."""
            self._head(len(content))
            self.wfile.write(half)

        def _cut(self, _: bytes, half: bytes) -> None:
            """Half, and says that this is all."""
            self._head(len(half))
            self.wfile.write(half)

        def _stall(self, content: bytes, half: bytes) -> None:
            """Half, then silence."""
            self._head(len(content))
            self.wfile.write(half)
            self.wfile.flush()
            site.closing.wait(20)

        def _endless(self, content: bytes, _: bytes) -> None:
            """Without a length, and without an end."""
            self._head(None)
            while not site.closing.is_set():
                self.wfile.write(content * 50)

    return Handler


@contextmanager
def serving() -> Iterator[Site]:
    """A running server; requests after it ends are refused."""
    site = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(site))
    server.daemon_threads = True
    site.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.closing.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
