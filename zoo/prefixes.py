"""Names of tensors in a file against those of a network: which prefix, stripped or added, makes them one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

from zoo.errors import counted, listed

Shapes = Mapping[str, tuple[int, ...]]

COUNTER = "num_batches_tracked"
"""How the names of batch counters end, which inference never reads and old files lack."""
_INSERTED = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""What wrappers of torch put between the parts of a name."""
_PARALLEL = "module"
"""What DataParallel puts there; a network may have a part of that name too."""
_AVERAGES = ("ema", "averag", "swa")
_TRIED = 24
"""So many prefixes, those that most names speak for, are tried out."""


class Prefix(NamedTuple):
    """`stripped` is taken off the names that begin with it, and `added` is put before what is left."""

    stripped: str
    added: str

    def __call__(self, name: str) -> str | None:
        """The new name; `None`: it does not begin so."""
        return self.added + name.removeprefix(self.stripped) if name.startswith(self.stripped) else None


_NONE = Prefix("", "")


@dataclass(frozen=True)
class Fit:
    """How the names of a file become those of a network."""

    names: dict[str, str]
    """Of the file → of the network, or what it would be called there."""
    outside: tuple[str, ...]
    """Those that stand beside the network in the file."""
    notes: tuple[str, ...]
    """What was done, one line each."""


def fit(given: Shapes, expected: Shapes, required: Collection[str]) -> Fit:
    """Find the prefixes under which all that is required is there, else those under which most is.

    Several networks in one file may all fit: an average is taken before others, then the first of the shortest prefix.

    Args:
        given: Shapes by the names of the file.
        expected: Shapes by the names of the network.
        required: Those of `expected` that must be there.
    """
    fitted = _fit(given, expected, required, _INSERTED)
    if not set(required) <= set(fitted.names.values()):
        again = _fit(given, expected, required, _INSERTED | {_PARALLEL})
        if set(required) <= set(again.names.values()):
            return again
    return fitted


def _groups(names: Iterable[str], beside: str) -> str:
    """Names by where they part from a prefix, with how many there are: `criterion (2), model.aux (1)`."""
    counts: Counter[str] = Counter()
    for name in names:
        parts = name.split(".")
        alike = takewhile(lambda pair: pair[0] == pair[1], zip(parts, beside.split("."), strict=False))
        counts[".".join(parts[: len(list(alike)) + 1])] += 1
    return listed((f"{name} ({count})" for name, count in counts.items()), 6)


def _fit(given: Shapes, expected: Shapes, required: Collection[str], inserted: frozenset[str]) -> Fit:
    own_parts = {part for name in expected for part in name.split(".")}
    bare, freed = _without(given, inserted - own_parts)
    notes = [f"{part + '.'!r} taken out of {counted(count, 'name')}" for part, count in freed.items()]
    first, rivals = _best({name: given[file] for name, file in bare.items()}, expected, required)
    names = {file: new for name, file in bare.items() if (new := first(name)) is not None}
    notes += _said(first, len(names))
    if rivals:
        notes.append(f"there is also a whole network under {' and '.join(repr(rival) for rival in rivals)}")
    missing = set(required) - set(names.values())
    unused = {name: file for name, file in bare.items() if names.get(file) not in expected}
    if missing and unused:  # such as an encoder without the prefix that its decoder has
        free = {name: shape for name, shape in expected.items() if name not in names.values()}
        second, _ = _best({name: given[file] for name, file in unused.items()}, free, missing)
        found = {file: new for name, file in unused.items() if (new := second(name)) in free and new is not None}
        if missing <= set(found.values()):
            names |= found
            notes += _said(second, len(found))
    outside = tuple(file for file in given if file not in names)
    if outside:
        notes.append(f"tensors left out beside {first.stripped!r}: {_groups(outside, first.stripped)}")
    return Fit(names, outside, tuple(notes))


def _without(given: Shapes, parts: Collection[str]) -> tuple[dict[str, str], Counter[str]]:
    """Names without `parts` → those of the file, and from how many each was taken; none of two alike is changed."""
    bare: dict[str, str] = {}
    freed: Counter[str] = Counter()
    for file in given:
        split = file.split(".")
        name = ".".join(part for part in split if part not in parts)
        if name in bare or (name != file and name in given):
            bare[file] = file
            continue
        bare[name] = file
        freed.update(set(split) & set(parts))
    return bare, freed


def _best(given: Shapes, expected: Shapes, required: Collection[str]) -> tuple[Prefix, list[str]]:
    """The prefix under which most is there, and others under which all is too."""

    def score(prefix: Prefix) -> tuple[bool, int, int, bool, int]:
        new = {name: shape for file, shape in given.items() if (name := prefix(file)) in expected and name is not None}
        present = sum(name in new for name in required)
        same = sum(expected[name] == shape for name, shape in new.items())
        averaged = any(word in prefix.stripped.lower() for word in _AVERAGES)
        return present == len(required), same, present, averaged, -len(prefix.stripped) - len(prefix.added)

    scores = {prefix: score(prefix) for prefix in (_NONE, *_candidates(given, expected))}
    best = max(scores, key=lambda prefix: scores[prefix])
    whole = [prefix.stripped for prefix, one in scores.items() if one[:3] == scores[best][:3] and one[0]]
    return best, [stripped for stripped in dict.fromkeys(whole) if stripped != best.stripped]


def _candidates(given: Shapes, expected: Shapes) -> list[Prefix]:
    """Prefixes that turn at least one name of `given` into one of `expected`, what most names speak for first."""
    by_end: dict[str, list[list[str]]] = defaultdict(list)
    for name in expected:
        parts = name.split(".")
        by_end[".".join(parts[-2:])].append(parts)
    votes: Counter[Prefix] = Counter()
    for file in given:
        parts = file.split(".")
        ends = {".".join(parts[-2:]), parts[-1]}
        if len(parts) == 1:
            ends |= {end for end in by_end if end.rpartition(".")[2] == file}
        for other in (other for end in ends for other in by_end.get(end, ())):
            shared = 0
            while shared < min(len(parts), len(other)) and parts[-1 - shared] == other[-1 - shared]:
                shared += 1
            heads = (".".join([*part[: len(part) - shared], ""]) for part in (parts, other))
            votes[Prefix(*heads)] += 1
    return [prefix for prefix, _ in votes.most_common(_TRIED)]


def _said(prefix: Prefix, count: int) -> list[str]:
    stripped, added = prefix
    if stripped and added:
        return [f"prefix {stripped!r} replaced by {added!r} in {counted(count, 'name')}"]
    if stripped:
        return [f"prefix {stripped!r} stripped from {counted(count, 'name')}"]
    return [f"prefix {added!r} added to {counted(count, 'name')}"] if added else []
