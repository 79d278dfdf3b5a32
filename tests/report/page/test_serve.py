"""`zoo serve`: the page for this machine's browser, made anew at every load, and nothing else."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from http.client import HTTPConnection
from threading import Thread

import pytest

from zoo.errors import UserError
from zoo.report.page.serve import make_server
from zoo.store import save


@pytest.fixture
def ask():
    """`ask(page, path, host)`: status, kind and text of one answer of a server of that page."""
    servers = []

    def ask(page, path="/", host=None, method="GET"):
        if not servers:
            servers.append(make_server(page))
            Thread(target=servers[0].serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        assert servers[0].server_address[0] == "127.0.0.1"
        connection = HTTPConnection("127.0.0.1", servers[0].server_port, timeout=30)
        connection.request(method, path, headers={"Host": host} if host else {})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, answer.headers.get_content_type(), text

    yield ask
    for server in servers:
        server.shutdown()
        server.server_close()


def test_it_is_made_anew_at_every_load(ask):
    turns = iter(("first", "second"))
    assert ask(lambda: next(turns)) == (200, "text/html", "first")
    assert ask(None) == (200, "text/html", "second")


def test_nothing_else_is_answered(ask):
    assert ask(lambda: "page", "/etc/passwd")[0] == 404
    assert ask(None, "/../results/a.json")[0] == 404
    assert ask(None, host="evil.example")[:1] == (403,)
    assert ask(None, method="HEAD") == (200, "text/html", "")
    assert ask(None, method="POST")[0] == 501


def test_a_mistake_is_a_line_and_the_next_load_is_whole(ask):
    def page():
        if not failed:
            failed.append(True)
            raise UserError("no records")
        return "whole"

    failed = []
    assert ask(page) == (500, "text/plain", "no records\n")
    assert ask(None)[2] == "whole"


def test_a_port_that_is_taken_is_said_in_a_line():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(UserError, match=r"port \d+ cannot be had: .*--port"):
            make_server(lambda: "", other.getsockname()[1])
    with pytest.raises(UserError, match="port 99999 cannot be had"):
        make_server(lambda: "", 99999)


def test_ctrl_c_ends_it_in_one_line(records, tmp_path):
    save(records.make("unet"), {}, tmp_path)
    command = [sys.executable, "-m", "zoo.cli", "serve", "--results", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        said = server.stdout.readline()
        port = int(said.partition("127.0.0.1:")[2].partition("/")[0])
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/")
        assert "</html>" in connection.getresponse().read().decode()
        connection.close()
        server.send_signal(signal.SIGINT)
        out, error = server.communicate(timeout=60)
    assert (server.returncode, out.strip(), error) == (0, "stopped", "")
