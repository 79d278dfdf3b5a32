"""`zoo serve`."""

from __future__ import annotations

import argparse

from zoo.cli.flags import RECORDS, Verbs, add_conditions, add_verb, count, read_conditions, warn


def add(verbs: Verbs) -> None:
    """Add the verb and its flags."""
    parser = add_verb(verbs, "serve", run, "the leaderboard as a page, for a browser on this machine")
    parser.add_argument("--results", **RECORDS)
    parser.add_argument("--port", type=count, metavar="N", help="default: a free one")
    add_conditions(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run it and return its exit code."""
    from zoo.report.leaderboard import leaderboard, render
    from zoo.report.page.serve import make_server, serve

    conditions = read_conditions(arguments)

    def page() -> str:
        return render(leaderboard(arguments.results, **conditions), "html")

    board = leaderboard(arguments.results, **conditions)  # a mistake shows before a browser is opened
    warn(board.warnings)
    with make_server(page, arguments.port or 0) as server:
        shown = arguments.results or "the records"
        print(f"http://127.0.0.1:{server.server_port}/ shows {shown}; Ctrl-C ends it", flush=True)
        serve(server)
    return 0
