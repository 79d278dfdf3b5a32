"""A web server of the test's own, which can be as bad as real ones are."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from zoo.published import download


class Web:
    """Serves `content` at every address; what is wrong with it is set by a test."""

    def __init__(self):
        self.content = b""
        self.status = 200
        self.kind = "application/octet-stream"
        self.ranges = True
        self.sends = None
        """Bytes of a body before the connection is closed; `None`: all."""
        self.tells = 0
        """Added to the length that is told."""
        self.gate = threading.Event()
        self.gate.set()
        self.asked = threading.Event()
        self.requests = []
        """(path, its `Range`), as they come."""
        self.url = ""

    @property
    def sent_ranges(self):
        return [found for _, found in self.requests]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        web = self.server.web
        asked = self.headers.get("Range")
        web.requests.append((self.path, asked))
        web.asked.set()
        web.gate.wait(20)
        begin, status = 0, web.status
        if asked and web.ranges and status == 200:
            begin, status = int(asked.removeprefix("bytes=").rstrip("-")), 206
            if begin >= len(web.content):
                self.send_error(416)
                return
        body = web.content[begin:]
        self.send_response(status)
        self.send_header("Content-Type", web.kind)
        self.send_header("Content-Length", str(len(body) + web.tells))
        self.send_header("ETag", f'"{hash(web.content)}"')
        if status == 206:
            self.send_header("Content-Range", f"bytes {begin}-{len(web.content) - 1}/{len(web.content)}")
        self.end_headers()
        self.wfile.write(body if web.sends is None else body[: web.sends])

    def log_message(self, *_):
        pass


@pytest.fixture
def web(monkeypatch):
    """The server; nothing is tried again within one command unless a test says so."""
    monkeypatch.setattr(download, "RETRIES", 0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # the other side hangs up
    server.web = web = Web()
    web.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield web
    web.gate.set()
    server.shutdown()
    server.server_close()
    thread.join()
