"""What `--weights` says. Free of torch.

One grammar for all verbs: `auto | random | run[:RECIPE[:SEED]] | published[:TAG] | own | FILE`; where several models
are named, `MODEL=` before it says for which. `auto` takes the model's newest finished run on the dataset, else a
published checkpoint that lies on this machine, else what the model brings by itself, else random weights, without an
accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from zoo.catalog import find
from zoo.checkpoint import read_facts
from zoo.errors import UserError, did_you_mean
from zoo.record import WeightsKind
from zoo.spec import ModelSpec

TRAINED = "run[:RECIPE[:SEED]], published[:TAG], own, or a FILE"
GRAMMAR = f"auto, random, {TRAINED}"


class Asked(NamedTuple):
    """What `--weights` says."""

    kind: Literal["auto", WeightsKind]
    name: str | None = None
    """A recipe's name or the first 6 or more digits of its hash, or a published tag."""
    seed: int | None = None
    file: Path | None = None


AUTO = Asked("auto")
RANDOM = Asked("random")


def parse_asked(text: str, flag: str = "--weights") -> Asked:
    """Read what a flag says of one model.

    Raises:
        UserError: an empty part, or a seed that is no whole number.
    """
    kind, colon, rest = text.partition(":")
    if kind in ("auto", "random", "own") and not colon:
        return Asked(kind)  # type: ignore[arg-type]  # one of three, which mypy does not see
    if kind == "published" and (rest or not colon):
        return Asked("published", rest or None)
    if kind == "run":
        recipe, second, seed = rest.partition(":")
        if (colon and not recipe) or (second and not seed.isdecimal()):
            raise UserError(f"{flag} run[:RECIPE[:SEED]], such as run:camvid:1; got {text!r}")
        return Asked("run", recipe or None, int(seed) if seed else None)
    file = Path(text).expanduser()
    if not file.exists():
        near = did_you_mean(kind, ("auto", "random", "run", "published", "own"))
        words = GRAMMAR if flag == "--weights" else TRAINED
        raise UserError(f"{flag} is {words}; there is no file {text!r}.{near}")
    return Asked("file", file=file)


def parse_all_asked(texts: Sequence[str], models: Sequence[str]) -> dict[str, Asked]:
    """Read `--weights` of several models: `MODEL=…` for one of them, else for all that have no own.

    Raises:
        UserError: as `parse_asked`; a model that is not among them, or one with two answers.
    """
    named: dict[str, tuple[str, Asked]] = {}
    for text in texts:
        model, equals, rest = text.partition("=")
        if not equals or Path(text).exists():
            name, rest = "", text
        else:
            name = model if model in models else find(model).name
            if name not in models:
                near = did_you_mean(model, models)
                raise UserError(f"--weights names {model!r}, which is not measured.{near} Add it to --models")
        if named.setdefault(name, (rest, AUTO))[0] != rest:
            who = f" {name}" if name else ""
            raise UserError(f"--weights{who} is given as {named[name][0]} and as {rest}; give it once")
        named[name] = (rest, parse_asked(rest))
    if "" in named and named[""][1].kind == "file" and len(models) > 1:
        raise UserError(f"--weights {named[''][0]} is one file and {len(models)} models are named; say MODEL=FILE")
    everyone = named.get("", ("", AUTO))
    return {model: named.get(model, everyone)[1] for model in models}


def knows_itself(asked: Asked, spec: ModelSpec) -> bool:
    """Whether the weights that are asked for tell their classes: then no dataset is needed to use them.

    A hub's weights may; those that do not are refused where they are used.

    Raises:
        UserError: the file cannot be read.
    """
    if spec.hub and asked.kind in {"auto", "own", "published"}:
        return True
    if asked.kind != "file" or asked.file is None:
        return False
    facts = read_facts(asked.file)
    return facts is not None and facts.classes is not None
