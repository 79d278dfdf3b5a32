"""The page for a browser on this machine: made anew each time it is loaded, and nothing else is answered."""

from __future__ import annotations

import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from zoo.errors import UserError
from zoo.faults import reason

HOST = "127.0.0.1"


def make_server(page: Callable[[], str], port: int = 0) -> ThreadingHTTPServer:
    """Return a server of one page that only this machine reaches; it listens already.

    Args:
        page: Makes the page, for every load.
        port: 0: a free one.

    Raises:
        UserError: the port cannot be had.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(*self._page())

        do_HEAD = do_GET  # noqa: N815  as http.server names it

        def _page(self) -> tuple[HTTPStatus, str, str]:
            own = {f"{name}:{server.server_port}" for name in (HOST, "localhost")}
            if self.headers.get("Host") not in own:  # another site's name that points here
                return HTTPStatus.FORBIDDEN, "text/plain", f"open {' or '.join(sorted(own))}\n"
            if self.path.partition("?")[0] != "/":
                return HTTPStatus.NOT_FOUND, "text/plain", "the leaderboard is at /\n"
            try:
                return HTTPStatus.OK, "text/html", page()
            except UserError as error:
                return HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", f"{error}\n"

        def _answer(self, status: HTTPStatus, kind: str, text: str) -> None:
            content = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing: the terminal shows the address."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        allow_reuse_address = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing of a browser that went away."""
            if not isinstance(sys.exception(), ConnectionError):
                super().handle_error(request, client_address)

    try:
        server = Server((HOST, port), Handler)
    except (OSError, OverflowError) as error:
        why = reason(error) if isinstance(error, OSError) else "no such port"
        raise UserError(f"port {port} cannot be had: {why}; give another with --port, or leave it away") from error
    return server


def serve(server: ThreadingHTTPServer) -> None:
    """Answer until Ctrl-C."""
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print("\nstopped")
