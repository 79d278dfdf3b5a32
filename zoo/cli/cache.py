"""`zoo cache`."""

from __future__ import annotations

import argparse

from zoo.cli.flags import CACHE, Verbs, add_verb, only_given


def add(verbs: Verbs) -> None:
    """Add the verb and its flags."""
    parser = add_verb(verbs, "cache", run, "what zoo can make again: list it, or clear what is old, large or of a kind")
    parser.add_argument("--cache", **CACHE)
    parser.add_argument(
        "--kind", action="append", choices=("streets", "prepared", "built", "kernels", "sent"), help="only these"
    )
    parser.add_argument("--older-than", metavar="T", help="not used for so long, such as 30d")
    parser.add_argument("--larger-than", metavar="SIZE", help="such as 1GiB")
    parser.add_argument("--to", metavar="SIZE", help="only until it is no larger than this, longest unused first")
    parser.add_argument("--clear", action="store_true", help="remove what is listed; what is in use stays")
    parser.add_argument("--format", choices=("table", "json"), default="table")


def run(arguments: argparse.Namespace) -> int:
    """Run it and return its exit code."""
    from zoo.cache import cache_folder, choose, clear, entries
    from zoo.report.cache import say_size, show_entries
    from zoo.units import parse_bytes, parse_duration

    root = arguments.cache or cache_folder()
    found = entries(root)
    asked = only_given(
        kinds=arguments.kind,
        older_than_s=parse_duration(arguments.older_than) if arguments.older_than else None,
        larger_than_bytes=parse_bytes(arguments.larger_than) if arguments.larger_than else None,
        to_bytes=parse_bytes(arguments.to) if arguments.to else None,
    )
    shown = choose(found, **asked) if asked or arguments.clear else found
    if arguments.clear:
        shown = clear(shown)
    print(show_entries(shown, arguments.format), end="")
    if arguments.format == "table":
        said = "removed " if arguments.clear else "--clear would remove " if asked else ""
        whole = f" of {say_size(found)}" if said else ""
        print(f"{said}{say_size(shown)}{whole} in {root}")
    return 0
