"""The page of all commands, `zoo/cli/README.md`: `python -m zoo.cli.reference` writes it, from the parsers alone.

It is made from what a parser holds, not from its help, whose lines depend on the terminal and on Python's version.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from zoo.cli.main import EPILOG, make_parser
from zoo.score.fields import FIELDS

PAGE = Path(__file__).with_name("README.md")
HEAD = """\
# All commands

Which verbs there are, and what each flag does. `zoo VERB --help` says the same in a terminal.

<!-- Written by `python -m zoo.cli.reference`; changes by hand are lost. -->
"""


def commands_page() -> str:
    """Return the page: a part for each verb, a line for each argument."""
    parser = make_parser()
    verbs = dict(_verbs(parser))
    shared, conditions = _conditions(verbs)
    parts = [HEAD, "\n".join(f"- [`{name}`](#{_anchor(name)}): {verb.description}" for name, verb in verbs.items())]
    for name, verb in verbs.items():
        own = [line for line in _lines(verb) if line not in shared or name not in conditions]
        parts += [f"## `{name}`", f"{str(verb.description).capitalize()}."]
        parts += ["\n".join(own)] if own else []
        parts += ["And the flags of [which rows](#which-rows)."] if name in conditions else []
        parts += [f"```text\n{verb.epilog.strip()}\n```"] if verb.epilog else []
    which = ", ".join(f"`{name}`" for name in conditions)
    parts += ["## Which rows", f"Flags of {which}. A repeated flag, or commas, means any of its values."]
    parts += ["\n".join(shared), "## Exit codes", f"```text\n{EPILOG.partition('exit codes: ')[2].strip()}\n```"]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _verbs(parser: argparse.ArgumentParser, before: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every verb by its whole name; one that has actions is followed by these."""
    for action in parser._actions:  # noqa: SLF001  argparse tells its arguments in no other way
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for told in action._choices_actions:  # noqa: SLF001
                verb = action.choices[told.dest]
                verb.description = verb.description or told.help
                yield f"{before}{told.dest}", verb
                yield from _verbs(verb, f"{before}{told.dest} ")


def _conditions(verbs: dict[str, argparse.ArgumentParser]) -> tuple[list[str], list[str]]:
    """The lines of the flags that choose rows, and the verbs that have them."""
    flags = {"--models", "--where", "--no-quick", *(field.flag for field in FIELDS.values() if field.flag)}
    having = {name: verb for name, verb in verbs.items() if "--where" in verb._option_string_actions}  # noqa: SLF001
    lines = [line for line in _lines(next(iter(having.values()))) if line.partition("`")[2].split("`")[0].split()[0] in flags]
    return lines, list(having)


def _lines(verb: argparse.ArgumentParser) -> Iterator[str]:
    """A line for each argument: how it is typed, and what it does."""
    for action in verb._actions:  # noqa: SLF001
        if isinstance(action, argparse._HelpAction | argparse._SubParsersAction):  # noqa: SLF001
            continue
        said = (action.help or "") % {"default": action.default}
        if action.choices is not None:
            said = f"{', '.join(f'`{choice}`' for choice in action.choices)}{f'; {said}' if said else ''}"
        if action.default not in (None, False, argparse.SUPPRESS) and action.default != [] and "default" not in said:
            said = f"{said} (default: {action.default})".strip()
        required = action.required and bool(action.option_strings)
        said += "; must be given" if required else ""
        yield f"- {_typed(action)}{f': {said}' if said else ''}"


def _typed(action: argparse.Action) -> str:
    """Such as `` `-o, --output FILE` ``."""
    metavar = action.metavar or action.dest.upper()
    value = " ".join(metavar) if isinstance(metavar, tuple) else metavar
    if not action.option_strings:
        ends = {"?": f"[{value}]", "*": f"[{value} …]", "+": f"{value} …"}
        return f"`{ends.get(str(action.nargs), value)}`"
    takes = "" if action.nargs == 0 else f" {value}"
    return f"`{', '.join(action.option_strings)}{takes}`"


def _anchor(name: str) -> str:
    """As GitHub makes one of a heading."""
    return name.replace(" ", "-")


if __name__ == "__main__":
    PAGE.write_text(commands_page(), encoding="utf-8")
