"""A dataset brought into the Cityscapes layout, whatever its own. Free of torch.

Images are copied byte for byte, or linked; annotations become `*_gtFine_labelIds.png` or `*_labelTrainIds.png`. What
was imported from what, and how classes are mapped, stands in `import.json` beside them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from PIL import Image

from zoo.data.classes import CLASSES_FILE
from zoo.data.importers import ade20k, bdd100k, camvid, vistas, voc
from zoo.data.importers.plan import Kind, Pair, Plan
from zoo.data.layout import OnFrame
from zoo.data.reading import read_image
from zoo.errors import UserError, did_you_mean
from zoo.faults import how_to_write, reason
from zoo.files import threads, whole_folder

KINDS: Mapping[str, Kind] = {
    "camvid": camvid.KIND,
    "voc": voc.KIND,
    "ade20k": ade20k.KIND,
    "bdd100k": bdd100k.KIND,
    "vistas": vistas.KIND,
}
IMPORT_FILE = "import.json"


@dataclass(frozen=True)
class Imported:
    """What was written."""

    root: Path
    counts: Mapping[str, int]
    """Split → number of frames."""
    classes: Mapping[str, str]
    """Class of the dataset → Cityscapes' label; empty where it keeps its own."""
    source: str
    """Where the classes, and how they are mapped, are published."""
    notes: tuple[str, ...]
    """What a person should know of this copy, a sentence each."""

    def said(self) -> list[str]:
        """How classes are mapped, by what source, and the notes, in words."""
        theirs: dict[str, list[str]] = {}
        for name, label in self.classes.items():
            theirs.setdefault(label, []).append(name)
        mapped = "; ".join(f"{', '.join(names)} → {label}" for label, names in theirs.items())
        return [f"classes: {mapped or f'its own, in {CLASSES_FILE}'}", f"source: {self.source}", *self.notes]


def import_dataset(
    kind: str,
    source: Path | str,
    target: Path | str,
    *,
    variant: str | None = None,
    link: bool = False,
    on_frame: OnFrame | None = None,
) -> Imported:
    """Write a dataset in the Cityscapes layout.

    Args:
        kind: One of `KINDS`.
        source: Its folder as it was unpacked, or one above it.
        target: A folder that is not there yet; it appears whole or not at all.
        variant: One of the kind's `variants`; `None`: what is there.
        link: Images become hard links to the source's files, which must be on the same disk, in place of copies.
        on_frame: Told of every frame.

    Raises:
        UserError: no such kind or variant, another layout, an image without annotation, two files for one frame, a
            damaged file, sizes that differ, values that are no class, or a target that is there or cannot be written.
    """
    if kind not in KINDS:
        raise UserError(f"no importer {kind!r}.{did_you_mean(kind, KINDS)} There are: {', '.join(KINDS)}")
    source, target = Path(source).expanduser(), Path(target).expanduser()
    variants = KINDS[kind].variants
    if variant is not None and variant not in variants:
        raise UserError(f"{kind} has {' and '.join(variants) or 'nothing'} for --variant; got {variant!r}")
    plan = KINDS[kind].plan(source, variant)
    plan = replace(plan, splits={split: pairs for split, pairs in plan.splits.items() if pairs})
    if "train" not in plan.splits:
        raise UserError(f"{source} has no frame to train on; look at its list of training images, or unpack all of it")
    if target.exists() or target.is_symlink():
        raise UserError(f"{target} is there already; give a new folder")
    strange: list[int] = []

    def fill(folder: Path) -> None:
        strange[:] = _write_frames(folder, plan, link=link, on_frame=on_frame)
        if plan.classes_file:
            (folder / CLASSES_FILE).write_text(plan.classes_file, encoding="utf-8")
        facts = _facts(kind, plan, _notes(plan, strange)) | {"images": "linked" if link else "copied"}
        (folder / IMPORT_FILE).write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    try:
        whole_folder(target, fill)
    except OSError as error:
        place = error.filename or target
        advice = how_to_write(error, "another folder")
        raise UserError(f"cannot import to {target}: {reason(error)} ({place}); {advice}") from error
    return Imported(target, _counts(plan), plan.classes, plan.source, _notes(plan, strange))


def _write_frames(folder: Path, plan: Plan, *, link: bool, on_frame: OnFrame | None) -> list[int]:
    """Write all frames in threads, which decode and encode outside Python's lock; strange pixels of each."""
    items = [(split, pair) for split, pairs in plan.splits.items() for pair in pairs]
    strange: list[int] = []
    with threads() as pool:
        for count in pool.map(partial(_write_frame, folder, plan, link=link), *zip(*items, strict=True)):
            strange.append(count)
            if on_frame:
                on_frame(len(strange), len(items))
    return strange


def _write_frame(folder: Path, plan: Plan, split: str, pair: Pair, *, link: bool) -> int:
    height, width = read_image(pair.image).shape[:2]
    strange = 0
    if pair.annotation is not None:
        values, strange = plan.decode(pair.annotation)
        if values.shape != (height, width):
            raise UserError(
                f"{pair.annotation} is {values.shape[0]}x{values.shape[1]}, its image {pair.image} {height}x{width}; "
                "both need the same size"
            )
        labels = folder / "gtFine" / split / pair.city
        labels.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(labels / f"{pair.name}_gtFine_{plan.label_kind}.png")
    images = folder / "leftImg8bit" / split / pair.city
    images.mkdir(parents=True, exist_ok=True)
    copy = images / f"{pair.name}_leftImg8bit{pair.image.suffix.lower()}"
    if not link:
        shutil.copyfile(pair.image, copy)
        return strange
    try:
        copy.hardlink_to(pair.image.resolve())
    except OSError as error:
        raise UserError(
            f"{pair.image} cannot be linked to: {reason(error)}; leave --link away, or import to its disk"
        ) from error
    return strange


def _counts(plan: Plan) -> dict[str, int]:
    return {split: len(pairs) for split, pairs in plan.splits.items()}


def _notes(plan: Plan, strange: list[int]) -> tuple[str, ...]:
    if not sum(strange):
        return plan.notes
    files = sum(map(bool, strange))
    return (*plan.notes, f"{sum(strange)} pixels in {files} annotations have a colour of no class and count nowhere")


def _facts(kind: str, plan: Plan, notes: tuple[str, ...]) -> dict[str, object]:
    return {
        "kind": kind,
        "frames": _counts(plan),
        "classes": dict(plan.classes) or f"its own, in {CLASSES_FILE}",
        "source": plan.source,
        "notes": notes,
    }
