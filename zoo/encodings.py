"""What the values of label maps that another program wrote may stand for, and which reading is taken. Free of torch.

The same numbers mean different classes in different encodings: 13 is *car* among train ids, *fence* among Cityscapes'
label ids. Where a folder's values fit several encodings, the share of counted pixels that is right in each tells which
one is meant, since a network that has learnt anything is right far more often in its own. Where that does not tell, a
person must; whichever is taken is named, with what the others would have given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from zoo.data.png import GREY, plain_png
from zoo.data.reading import opened
from zoo.data.spelling import codes_of, form_of, stored_mode, values_of
from zoo.errors import UserError, counted
from zoo.labels import CITYSCAPES, LABELS, TRAIN_ID_TO_LABEL_ID
from zoo.spec import IGNORE_INDEX, DatasetSpec

Encoding = Literal["auto", "labelIds", "trainIds", "trainIds+1", "colors"]
"""`trainIds+1`: 1 to K are the classes and 0 is none of them; `colors`: each pixel has its class's colour."""

CLEAR = 3
"""A reading is taken for the meant one when it makes this many times as many pixels right as any other,"""
MARGIN = 0.1
"""and this share of the counted pixels more."""
_RENAMED = 0.5
_STRANGE = -1


class Table(NamedTuple):
    """What the values of a label map stand for in one encoding."""

    train_ids: npt.NDArray[np.int16]
    """`(256,)` train ids, `IGNORE_INDEX` for none of the classes, -1 for no value of this encoding."""
    label_ids: npt.NDArray[np.intp]
    """`(256,)` Cityscapes' label ids, 0 (*unlabeled*) for none."""

    def strange(self, present: npt.NDArray[np.bool_]) -> list[int]:
        """Values that are not of this encoding."""
        found: list[int] = np.flatnonzero(present & (self.train_ids < 0)).tolist()
        return found

    def folding(self, num_classes: int) -> npt.NDArray[np.int64]:
        """`(256, K + 1)`: which column of a confusion matrix a value belongs to."""
        columns = np.where(self.train_ids < 0, num_classes, np.minimum(self.train_ids, num_classes))
        return np.eye(num_classes + 1, dtype=np.int64)[columns]

    def meant(self, present: npt.NDArray[np.bool_]) -> npt.NDArray[np.int16]:
        """Train ids of the values that occur, ascending; what is not of this encoding is none of the classes."""
        train_ids = self.train_ids[present]
        return np.where(train_ids < 0, np.int16(IGNORE_INDEX), train_ids)

    def names_a_class(self, present: npt.NDArray[np.bool_]) -> bool:
        """Whether any of these values is a class."""
        return bool((present & (self.train_ids >= 0) & (self.train_ids != IGNORE_INDEX)).any())


class Decoded(NamedTuple):
    """One file of another program."""

    values: npt.NDArray[np.uint8]
    """`(H, W)`: its numbers or palette entries; of an image in colours, numbers given to its colours."""
    are_ids: bool
    """False for an image in colours, whose values stand for nothing but `colors`."""
    colors: Table | None = None
    """What the values are by their colours; `None` where they have none, or some colour is no class's."""
    strange_color: tuple[int, ...] = ()
    """The first colour that is no class's, RGB."""


class Fit(NamedTuple):
    """An encoding that all files fit, with what it would make of them."""

    confusion: npt.NDArray[np.int64]
    """`(K, K + 1)`."""
    inferred: tuple[int, ...]
    """Values that are taken for none of the classes though nobody said so."""
    is_sound: bool
    """Whether it may be taken without being right far more often than others."""
    meant: npt.NDArray[np.int16] | None = None
    """Train ids of the values that occur, ascending; `None` for `colors`."""

    def covers(self, other: Fit) -> bool:
        """Whether it differs only where the other sees none of the classes and it sees one, and is no less right."""
        if self.meant is None or other.meant is None:
            return False
        differs = self.meant != other.meant
        return bool(differs.any() and (other.meant[differs] == IGNORE_INDEX).all() and self.right >= other.right)

    @property
    def right(self) -> float:
        """Share of the counted pixels."""
        return float(np.trace(self.confusion[:, :-1]) / max(int(self.confusion.sum()), 1))


def tables(spec: DatasetSpec, void: Iterable[int] = ()) -> dict[str, Table]:
    """What the values are in every encoding of numbers; `void` are those that mean none of the classes.

    An encoding in which a value of `void` is a class is left out.
    """
    void = list(void)
    label_ids, train_ids, one_more = (np.full(256, _STRANGE, np.int16) for _ in range(3))
    label_ids[list(spec.label_to_train_id)] = list(spec.label_to_train_id.values())
    train_ids[: spec.num_classes] = one_more[1 : spec.num_classes + 1] = np.arange(spec.num_classes)
    one_more[0] = train_ids[IGNORE_INDEX] = one_more[IGNORE_INDEX] = IGNORE_INDEX
    found: dict[str, Table] = {}
    for name, table in (("labelIds", label_ids), ("trainIds", train_ids), ("trainIds+1", one_more)):
        if not np.isin(table[void], (_STRANGE, IGNORE_INDEX)).all():
            continue
        table[void] = IGNORE_INDEX
        own = np.array([TRAIN_ID_TO_LABEL_ID.get(int(value), 0) for value in table])
        if name == "labelIds":
            own = np.where((table == _STRANGE) | np.isin(np.arange(256), void), 0, np.arange(256))
        found[name] = Table(table, own)
    return found


def inferable(encoding: str, num_classes: int, *, auto: bool) -> tuple[frozenset[int], frozenset[int]]:
    """Values of no encoding that may be taken for none of the classes, one at most: at once, and if much speaks for it.

    255 is none of the classes everywhere, and what is one above the last class is where nobody named the encoding.
    """
    if encoding == "labelIds":
        return frozenset({IGNORE_INDEX}), frozenset({IGNORE_INDEX})
    if encoding == "trainIds" and auto:
        return frozenset({num_classes}), frozenset(range(256))
    return frozenset(), frozenset()


def require_void(spec: DatasetSpec, encoding: Encoding, void: Sequence[int]) -> None:
    """Ask that values can mean none of the classes in an encoding that is asked for.

    Raises:
        UserError: a value that is no byte or is a class, or encoding `colors`.
    """
    if not void:
        return
    said = ", ".join(map(str, void))
    if not all(0 <= value <= 255 for value in void):
        raise UserError(f"values that mean none of the classes are 0 to 255, as label maps hold; got {said}")
    if encoding == "colors":
        raise UserError(f"colours have no values, and void is {said}; leave one of --void and --encoding colors away")
    known = {name: table for name, table in tables(spec).items() if encoding in ("auto", name)}
    if not known.keys() & tables(spec, void).keys():
        classes = (
            f"{value} is {spec.class_names[table.train_ids[value]]} in {name}"
            for name, table in known.items()
            for value in void
            if table.train_ids[value] not in (_STRANGE, IGNORE_INDEX)
        )
        raise UserError(f"void {said} cannot mean none of the classes: {', '.join(classes)}; give other values")


def choose(fits: Mapping[str, Fit], doubts: Sequence[str] = ()) -> str:
    """The encoding that is meant, out of those that all files fit.

    Encodings that need nothing inferred come first; what takes a value for none of the classes, or counts from 1, must
    be right far more often than any of them.

    Args:
        fits: By name; one at least is sound.
        doubts: What else is told where no reading can be taken.

    Raises:
        UserError: no reading is right far more often than the others.
    """
    sound = [name for name, fit in fits.items() if fit.is_sound]
    plain = [name for name in sound if not fits[name].inferred and name != "trainIds+1"] or sound
    rivals = list(fits)
    best = max(rivals, key=lambda name: fits[name].right)
    if not _is_clear(fits, best, rivals):
        rivals = [name for name in plain if not any(fits[other].covers(fits[name]) for other in plain)]
        best = "colors" if "colors" in rivals else max(rivals, key=lambda name: fits[name].right)
        if best == "colors":  # a palette of the classes' colours is no accident
            rivals = [best]
    if not _is_clear(fits, best, rivals):
        shares = ", ".join(f"{100 * fits[name].right:.1f} % as {name}" for name in rivals)
        raise UserError(
            f"the values fit both {' and '.join(rivals)}; give --encoding {' or '.join(rivals)}, since the share of "
            f"counted pixels that is right does not tell: {'; '.join((shares, *doubts))}"
        )
    return next(name for name in rivals if np.array_equal(fits[name].confusion, fits[best].confusion))


def _is_clear(fits: Mapping[str, Fit], best: str, rivals: Iterable[str]) -> bool:
    """Whether no rival is near; those that count every pixel alike are no rivals."""
    right = fits[best].right
    others = [fits[name].right for name in rivals if not np.array_equal(fits[name].confusion, fits[best].confusion)]
    return not others or _is_far_more(right, max(others))


def _is_far_more(share: float, right: float) -> bool:
    return share >= CLEAR * right and share - right >= MARGIN


def fitting_numbers(
    pairs: npt.NDArray[np.int64],
    present: npt.NDArray[np.bool_],
    spec: DatasetSpec,
    void: Iterable[int],
    *,
    without: str,
) -> dict[str, Fit]:
    """What every encoding of numbers that the values fit would make of them.

    Args:
        pairs: `(K, 256)` counted pixels of all images by true class and by value.
        present: `(256,)` values that occur anywhere.
        spec: Whose classes they are.
        void: Values that mean none of the classes.
        without: The encoding that is left out.
    """
    found: dict[str, Fit] = {}
    for name, table in tables(spec, void).items():
        strange, (known, allowed) = table.strange(present), inferable(name, spec.num_classes, auto=True)
        if name != without and len(strange) <= 1 and allowed.issuperset(strange):
            found[name] = Fit(pairs @ table.folding(spec.num_classes), tuple(strange), known.issuperset(strange))
    return found


def better(right: float, others: Mapping[str, Fit]) -> list[str]:
    """Say which other encoding makes far more right than the share that is, and how to ask for it."""
    if not others:
        return []
    name, fit = max(others.items(), key=lambda item: item[1].right)
    if not _is_far_more(fit.right, right):
        return []
    void = "".join(f" --void {value}" for value in fit.inferred)
    return [f"{100 * fit.right:.1f} % would be right as {name}; if that is meant, give --encoding {name}{void}"]


def renamed(pairs: npt.NDArray[np.int64], right: float, class_names: Sequence[str]) -> list[str]:
    """Say which one-to-one naming of the values makes far more right than the share that is: another order of classes.

    Args:
        pairs: `(K, 256)` counted pixels by true class and by value.
        right: Share of the counted pixels.
        class_names: In the order of train ids.
    """
    left, names, count = pairs.copy(), {}, 0
    for _ in class_names:
        train_id, value = divmod(int(left.argmax()), 256)
        if left[train_id, value]:
            count += int(left[train_id, value])
            names[value] = class_names[train_id]
            left[train_id] = left[:, value] = 0
    share = count / max(int(pairs.sum()), 1)
    if share < _RENAMED or len(names) < 2 or not _is_far_more(share, right):
        return []
    said = ", ".join(f"{value} → {name}" for value, name in sorted(names.items()))
    return [f"{100 * share:.1f} % would be right if values meant {said}: the classes may be in another order"]


def read_prediction(path: Path, spec: DatasetSpec) -> Decoded:
    """Read a label map `(H, W)` of numbers, palette entries or colours.

    Raises:
        UserError: a damaged file, one of 16 bits that holds more than 8, see-through, or of more colours than classes.
    """
    plain = plain_png(path, GREY)
    if plain is not None:
        return Decoded(plain, are_ids=True)
    with opened("label map", path) as image:
        mode = stored_mode(image)
        if form_of(mode) in ("bits", "deep"):
            what = f"label map {path}"
            return Decoded(values_of(image, what, spec, train_ids=False, whatever_colors=True), are_ids=True)
        if mode in ("RGBA", "LA") and image.getchannel("A").getextrema() == (255, 255):
            mode = mode[:-1]
            pixels = np.asarray(image.convert(mode))
        else:
            pixels = np.asarray(image)
        palette = image.getpalette("RGB")
    if mode == "L":
        return Decoded(pixels, are_ids=True)
    if form_of(mode) == "palette":
        used, shown = _used(pixels), np.zeros((256, 3), np.uint8)
        entries = np.array(palette, np.uint8).reshape(-1, 3)
        shown[: len(entries)] = entries
        return Decoded(pixels, True, *_by_color(spec, used, shown[used]))
    if mode == "RGB":
        return _decode_colors(path, pixels, spec)
    raise UserError(
        f"{path} is an image of mode {mode}; a label map is single-channel 8-bit, a class per pixel, or in colours"
    )


def _decode_colors(path: Path, pixels: npt.NDArray[np.uint8], spec: DatasetSpec) -> Decoded:
    """`(H, W, 3)` as values; three equal channels are numbers as well."""
    if (pixels[..., :1] == pixels[..., 1:]).all():
        values = np.ascontiguousarray(pixels[..., 0])
        used = _used(values)
        return Decoded(values, True, *_by_color(spec, used, np.repeat(used[:, None], 3, axis=1)))
    known = np.array(sorted(_colors(spec)), np.uint8)  # ascending, so their codes are
    packed, codes = codes_of(pixels), codes_of(known)
    places = np.minimum(np.searchsorted(codes, packed), len(codes) - 1)
    strange = packed[codes[places] != packed]
    if (count := len(np.unique(strange))) > len(codes):
        raise UserError(
            f"{path} holds {counted(count, 'colour')} of no class: a label map has one colour for each class; this is "
            "a photograph, was blended, or was saved as JPEG once"
        )
    if count:
        first = int(strange[0])
        return Decoded(places.astype(np.uint8), False, None, (first >> 16, first >> 8 & 255, first & 255))
    return Decoded(places.astype(np.uint8), False, *_by_color(spec, np.arange(len(known)), known))


def _used(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.intp]:
    """Which values occur, ascending."""
    return np.flatnonzero(np.bincount(values.ravel(), minlength=256))


def _by_color(
    spec: DatasetSpec, values: npt.NDArray[np.integer], shown: npt.NDArray[np.uint8]
) -> tuple[Table | None, tuple[int, ...]]:
    """What values shown in these colours `(n, 3)` stand for, or the first colour that is no class's."""
    known = _colors(spec)
    train_ids, label_ids = np.full(256, _STRANGE, np.int16), np.zeros(256, np.intp)
    for value, color in zip(values.tolist(), map(tuple, shown.tolist()), strict=True):
        if color not in known:
            return None, color
        train_ids[value], label_ids[value] = known[color]
    return Table(train_ids, label_ids), ()


def _colors(spec: DatasetSpec) -> dict[tuple[int, ...], tuple[int, int]]:
    """Colour → train id and label id; black is none of the classes unless it is one's."""
    none: dict[tuple[int, ...], tuple[int, int]] = {(0, 0, 0): (IGNORE_INDEX, 0)}
    if spec == CITYSCAPES:
        none |= {label.color: (IGNORE_INDEX, label.id) for label in LABELS if label.ignore_in_eval and label.id > 4}
    return none | {
        color: (train_id, TRAIN_ID_TO_LABEL_ID.get(train_id, 0)) for train_id, color in enumerate(spec.class_colors)
    }
