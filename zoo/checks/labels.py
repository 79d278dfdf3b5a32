"""What the files of a split hold: damage, values, classes, sizes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zoo.checks.seen import Seen, class_pixels, finding_of, meanings
from zoo.data.classes import CLASSES_FILE
from zoo.data.headers import notes
from zoo.errors import counted
from zoo.frames import OFFICIAL_CITIES
from zoo.labels import CITYSCAPES
from zoo.report.doctor import Finding
from zoo.score.rows import text_of
from zoo.spec import IGNORE_INDEX, DatasetSpec

MIXED_UP_SHARE = 0.5
"""Train ids read as label ids leave more of the pixels than this uncounted."""
MIXED_UP_VALUES = 4
"""So many values that are classes as train ids and none as label ids make a file one of train ids; void alone, however
much of a file it is, says nothing of the others."""
RARE_AS_LABEL_IDS = 7
"""Cityscapes' label ids below this stand for void in almost every frame; parking, bridges and the like are rare."""


def pixels_of(split: str, seen: Sequence[Seen], spec: DatasetSpec) -> Iterator[Finding]:
    """What is wrong with the pixels of a split."""
    yield from _faults(split, "image", [(look.image_fault, look.frame.image) for look in seen])
    yield from _forms(split, seen)
    labelled = [(look, look.frame.label) for look in seen if look.frame.label is not None]
    mixed_up = _mixed_up(split, labelled, spec)
    yield from mixed_up
    named = {file for finding in mixed_up for file in finding.files}
    labelled = [(look, path) for look, path in labelled if str(path) not in named]
    strange = {path: values for look, path in labelled if (values := _strange(look, spec))}
    if strange:
        said = ", ".join(map(str, sorted(set().union(*strange.values()))[:8]))
        none = f'classes = "cityscapes" and ignored = [{said}]' if spec == CITYSCAPES else f"[{said}] under ignored"
        advice = f"correct the files; or say what they mean in {CLASSES_FILE}, such as {none} where that is nothing"
        present = {*np.flatnonzero(sum(look.values for look, _ in labelled if look.values is not None)).tolist()}
        as_train_ids = present <= {*range(spec.num_classes), IGNORE_INDEX}
        if spec == CITYSCAPES and as_train_ids and any(0 < value < RARE_AS_LABEL_IDS for value in present):
            advice = f"if they hold train ids, rename them to _labelTrainIds.png; else {advice}"
        yield finding_of(
            "error", f"{counted(len(strange), 'label map')} of {split} with values that mean nothing: {said}", advice,
            list(strange),
        )  # fmt: skip
    others = [(look.label_fault, path) for look, path in labelled if path not in strange]
    yield from _faults(split, "label map", others)
    void = [path for look, path in labelled if look.values is not None and not sum(class_pixels(look, spec)[0])]
    if void:
        kept = split == "test" and all(city in OFFICIAL_CITIES["test"] for city in {look.frame.city for look in seen})
        yield finding_of(
            "note" if kept else "warning", f"{counted(len(void), 'label map')} of {split} in which no pixel counts",
            "Cityscapes keeps its test labels: send predictions to its server" if kept else "see what they hold",
            void,
        )  # fmt: skip
    sizes = Counter(look.size for look in seen if look.size)
    if len(sizes) > 1:
        most, _ = sizes.most_common(1)[0]
        odd = [look.frame.image for look in seen if look.size and look.size != most]
        yield finding_of(
            "note", f"images of {split} have {len(sizes)} sizes, most {text_of(most)}",
            "fine for mIoU; latency is measured at the first frame's size", odd,
        )  # fmt: skip


def _forms(split: str, seen: Sequence[Seen]) -> Iterator[Finding]:
    """Files in other forms than the plain one, which are read all the same."""
    for place, what in enumerate(("image", "label")):
        sound = [look for look in seen if not (look.label_fault if place else look.image_fault)]
        headers = [(header, look.frame) for look in sound if (header := look.headers[place])]
        for form, line in notes(what, [header for header, _ in headers], f" of {split}").items():
            files = [frame.label if place else frame.image for header, frame in headers if header.form == form]
            advice = "nothing needs to be done; `zoo data convert` makes them plain"
            yield finding_of("note", line, advice, filter(None, files))


def _faults(split: str, noun: str, faults: Sequence[tuple[str, Path]]) -> Iterator[Finding]:
    """One finding for each kind of fault, numbers in it apart."""
    kinds: dict[str, list[tuple[str, Path]]] = {}
    for fault, path in faults:
        if fault:
            kinds.setdefault(re.sub(r"\d+", "", fault), []).append((fault, path))
    for of_kind in kinds.values():
        what = f"{counted(len(of_kind), noun)} of {split} cannot be used"
        yield finding_of("error", what, of_kind[0][0], [path for _, path in of_kind])


def _strange(look: Seen, spec: DatasetSpec) -> set[int]:
    """Values of a label map that mean nothing in its kind of file."""
    present = np.flatnonzero(look.values).tolist() if look.values is not None else []
    return set(present) - meanings(look.frame, spec).keys()


def _mixed_up(split: str, labelled: Sequence[tuple[Seen, Path]], spec: DatasetSpec) -> list[Finding]:
    """Label ids in files for train ids, or the reverse: in all files taken together, else in some of them."""
    read = [(path, look.values) for look, path in labelled if look.values is not None]
    if not read:
        return []
    if labelled[0][0].frame.has_train_ids:
        kind, other, right, wrong = "labelTrainIds", "labelIds", "train ids", "label ids"
        files = [path for path, values in read if _holds_label_ids(values, spec)]
    else:
        kind, other, right, wrong = "labelIds", "labelTrainIds", "label ids", "train ids"
        files = [path for path, _ in read]
        if not _holds_train_ids(np.sum([values for _, values in read], axis=0), spec):
            files = [path for path, values in read if _holds_train_ids(values, spec)]
    if not files:
        return []
    what = f"{kind} files of {split} hold {wrong}: {len(files)} of {len(read)} read"
    remedy = f"rename them to _{other}.png" if len(files) == len(read) else f"write {right} into them as into the rest"
    return [finding_of("error", what, f"{remedy}; as they are, pixels are of other classes or count nowhere", files)]


def _holds_label_ids(values: NDArray[np.int64], spec: DatasetSpec) -> bool:
    """Whether `(256,)` pixels of each value can be label ids and no train ids."""
    present = set(np.flatnonzero(values).tolist())
    return present <= spec.label_to_train_id.keys() and not present <= {*range(spec.num_classes), IGNORE_INDEX}


def _holds_train_ids(values: NDArray[np.int64], spec: DatasetSpec) -> bool:
    """Whether `(256,)` pixels of each value can be train ids and make little sense as label ids.

    Classes of one's own say themselves what each value means: there, only values that mean nothing tell.
    """
    present = set(np.flatnonzero(values).tolist())
    known, train_ids = spec.label_to_train_id, range(spec.num_classes)
    if not present <= {*train_ids, IGNORE_INDEX}:
        return False
    if spec != CITYSCAPES:
        return bool(present - known.keys() - {IGNORE_INDEX})
    telling = {value for value in present - {0, IGNORE_INDEX} if known[value] == IGNORE_INDEX}
    uncounted = sum(values[value] for value in {*telling, 0, IGNORE_INDEX})
    return (
        len(telling) >= MIXED_UP_VALUES
        and sum(value >= RARE_AS_LABEL_IDS for value in telling) > 1
        and uncounted > MIXED_UP_SHARE * values.sum()
    )
