"""The table of conditions: what rows may be chosen by, with the flag, the help and the hash of each.

Light: the command line reads it before any record.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import NamedTuple

from zoo.units import parse_per_second, parse_size


class Field(NamedTuple):
    """One condition a row was measured under."""

    name: str
    """Field of `Row`."""
    flag: str = ""
    """Of the command line; without one `--where NAME=VALUE` reaches it, as it does all."""
    metavar: str = ""
    help: str | None = None
    parse: Callable[[str], object] = str
    """Reads a value that a person typed."""
    version: str = ""
    """The field whose hash tells apart what one name may mean: `camvid@3f2a8c11` names one version."""
    is_hash: bool = False
    """Whether its first digits name it."""
    has_kinds: bool = False
    """Whether a value's first word, its kind, names it."""
    rare: bool = False
    """Whether it seldom tells two records of a model apart."""


def _pace(text: str) -> float | None:
    return None if text.strip().lower() == "none" else parse_per_second(text)


FIELDS: dict[str, Field] = {
    field.name: field
    for field in (
        Field("device", "--device", "NAME,…", "such as nvidia-h200"),
        Field(
            *("dataset", "--dataset", "NAME,…", "a name, a version of it (camvid@3f2a8c11), or none"),
            version="dataset_fingerprint",
        ),
        Field(
            *("weights", "--weights", "W,…", "as the tables say (run camvid_cpu), or a kind: run, published, own, …"),
            has_kinds=True,
        ),
        Field("recipe", "--recipe", "NAME,…", "as for a dataset", version="recipe_hash", rare=True),
        Field("input_size", "--input-size", "HxW,…", "what the network saw, such as 512x1024", parse=parse_size),
        Field("runtime", "--runtime", "R,…", "such as eager or onnxruntime"),
        Field("precision", "--precision", "P,…", "such as fp32 or int8"),
        Field("batch_size", "--batch", "N,…", "images a call"),
        Field("thread_count", "--threads", "N,…", "CPU threads it ran on"),
        Field("resize", "--resize", "R,…", "fit, stretch or none"),
        Field("rate_hz", "--rate", "RATE,…", "of paced calls, such as 10hz; none: not paced", parse=_pace),
        Field("quick"),
        Field("memory_format"),
        Field("compile_mode"),
        Field("mode"),
        Field("output_size", parse=parse_size, rare=True),
        Field("split", rare=True),
        Field("image_count", rare=True),
        Field("dataset_fingerprint", is_hash=True, rare=True),
        Field("recipe_hash", is_hash=True, rare=True),
        Field("protocol", rare=True),
        Field("miou_protocol", rare=True),
        Field("preset", rare=True),
        Field("machine_id", is_hash=True, rare=True),
        Field("weights_sha256", is_hash=True, rare=True),
        Field("seed", rare=True),
    )
}
"""By name, what a person asks for most first."""


def flag_for(name: str, value: str) -> str:
    """Return what a person types to ask for a value: `--device cpu`, `--where output_size=64x64`."""
    flag = FIELDS[name].flag
    return f"{flag} {quoted(value)}" if flag else f"--where {quoted(f'{name}={value}')}"


def quoted(word: str) -> str:
    """Return a word as a shell takes it."""
    return shlex.quote(word)
