"""`zoo weights`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.cli.flags import CACHE, TABLES, Verbs, add_verb, make_console, warn

if TYPE_CHECKING:
    from zoo.shelf import Shelved


def add(verbs: Verbs) -> None:
    """Add the verb and its flags."""
    parser = add_verb(verbs, "weights", None, "published checkpoints: what there is, and bring them here")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = actions.add_parser(
        "list", help="what there is: where, how fed, under which terms, with what claimed mIoU"
    )
    listing.set_defaults(verb=_list)
    listing.add_argument("patterns", nargs="*", metavar="PATTERN", help="ids, models, tags, or globs such as 'pidnet*'")
    listing.add_argument("--format", choices=TABLES, default="table")
    fetching = actions.add_parser("fetch", help="fetch files, or go on where a transfer broke off")
    fetching.set_defaults(verb=_fetch)
    fetching.add_argument("ids", nargs="+", metavar="ID", help="model:tag, or a model that has one alone")
    adding = actions.add_parser("add", help="take a file you have, once it is known to be what it is said to be")
    adding.set_defaults(verb=_add)
    adding.add_argument("file", metavar="FILE", type=Path, help="as it was published")
    adding.add_argument("--as", dest="id", metavar="ID", required=True, help="model:tag, or a model that has one alone")
    for action in (listing, fetching, adding):
        action.add_argument("--cache", **CACHE)


def _list(arguments: argparse.Namespace) -> int:
    from zoo.published.table import select_published
    from zoo.weights.listing import show_published

    rows = select_published(arguments.patterns or ["all"])
    print(show_published(rows, arguments.format, arguments.cache), end="")
    return 0


def _fetch(arguments: argparse.Namespace) -> int:
    from zoo.errors import UserError
    from zoo.published.table import find_published
    from zoo.report.progress import LiveBytes
    from zoo.shelf import fetch

    failed = False
    wanted = {one.id: one for one in map(find_published, arguments.ids)}
    for one in wanted.values():
        try:
            with LiveBytes(make_console(stderr=True), one.id) as live:
                shelved = fetch(one, arguments.cache, live)
        except UserError as error:
            warn([str(error)])
            failed = True
        else:
            _say(shelved)
    return int(failed)


def _add(arguments: argparse.Namespace) -> int:
    from zoo.published.table import find_published
    from zoo.shelf import add

    _say(add(arguments.file, find_published(arguments.id), arguments.cache))
    return 0


def _say(shelved: Shelved) -> None:
    """Print what is on this machine now, and what it is."""
    from zoo.weights.listing import said_of

    there = " (it was there already)" if shelved.was_there else ""
    print(f"{shelved.one.id}: {shelved.byte_count / 2**20:.1f} MiB in {shelved.file}{there}")
    print(f"  {said_of(shelved.one)}")
    warn([f"{shelved.one.id}: {note}" for note in shelved.notes])
