"""The page of all commands, `zoo/cli/README.md`: `python -m zoo.cli.reference` writes it, from the parsers alone.

It is made from what a parser holds, not from its help, whose lines depend on the terminal and on Python's version.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from zoo.cli.main import EPILOG, make_parser
from zoo.score.fields import FIELDS

CONDITIONS = {"--models", "--where", "--no-quick", *(field.flag for field in FIELDS.values() if field.flag)}
"""Flags that choose rows, the same in several verbs (`flags.add_conditions`)."""
PAGE = Path(__file__).with_name("README.md")
HEAD = """\
# All commands

Which verbs there are, and what each flag does. `zoo VERB --help` says the same in a terminal.

<!-- Written by `python -m zoo.cli.reference`; changes by hand are lost. -->
"""


def commands_page() -> str:
    """Return the page: a part for each verb, a line for each argument."""
    verbs = dict(verbs_of(make_parser()))
    choosing = [name for name, verb in verbs.items() if "--where" in _arguments(verb)]
    which = {typed: line for typed, line in _arguments(verbs[choosing[0]]).items() if typed in CONDITIONS}
    parts = [
        HEAD,
        "\n".join(f"- [`{name}`](#{name.replace(' ', '-')}): {verb.description}" for name, verb in verbs.items()),
    ]
    for name, verb in verbs.items():
        said = str(verb.description)
        own = [line for typed, line in _arguments(verb).items() if name not in choosing or typed not in CONDITIONS]
        parts += [f"## `{name}`", f"{said[0].upper()}{said[1:]}.", "\n".join(own)]
        parts += ["And the flags of [which rows](#which-rows)."] if name in choosing else []
        parts += [f"```text\n{verb.epilog.strip()}\n```"] if verb.epilog else []
    named = ", ".join(f"`{name}`" for name in choosing)
    parts += ["## Which rows", f"Flags of {named}. A repeated flag, or commas, means any of its values."]
    parts += [
        "\n".join(which.values()),
        "## Exit codes",
        f"```text\n{EPILOG.partition('exit codes: ')[2].strip()}\n```",
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def verbs_of(parser: argparse.ArgumentParser, before: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every verb by its whole name; one that has actions is followed by these."""
    for action in parser._actions:  # noqa: SLF001  argparse tells its arguments in no other way
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for told in action._choices_actions:  # noqa: SLF001
                verb = action.choices[told.dest]
                verb.description = verb.description or told.help
                yield f"{before}{told.dest}", verb
                yield from verbs_of(verb, f"{before}{told.dest} ")


def _arguments(verb: argparse.ArgumentParser) -> dict[str, str]:
    """By its longest flag or its name, a line for each argument: how it is typed, and what it does."""
    lines = {}
    for action in verb._actions:  # noqa: SLF001
        if not isinstance(action, argparse._HelpAction | argparse._SubParsersAction):  # noqa: SLF001
            said = [", ".join(f"`{choice}`" for choice in action.choices)] if action.choices is not None else []
            said += [(action.help or "") % {"default": action.default}] if action.help else []
            said += ["must be given"] if action.required and action.option_strings else []
            text = "; ".join(said)
            if isinstance(action.default, str) and "default" not in text:
                text += f" (default: {action.default})"
            lines[max(action.option_strings or [action.dest], key=len)] = f"- `{_typed(action)}`: {text}"
    return lines


def _typed(action: argparse.Action) -> str:
    """Such as `-o, --output FILE`."""
    metavar = action.metavar or action.dest.upper()
    value = " ".join(metavar) if isinstance(metavar, tuple) else metavar
    if not action.option_strings:
        return {"?": f"[{value}]", "*": f"[{value} …]", "+": f"{value} …"}.get(str(action.nargs), value)
    return ", ".join(action.option_strings) + ("" if action.nargs == 0 else f" {value}")


if __name__ == "__main__":
    PAGE.write_text(commands_page(), encoding="utf-8")
