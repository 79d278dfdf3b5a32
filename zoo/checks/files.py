"""What the folders of a dataset hold: names, missing and unusable files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from zoo.checks.seen import finding_of
from zoo.data.listing import Listing, how_to_mend
from zoo.data.naming import CITYSCAPES_NAMES, IMAGES, INSTANCES, LABEL_KINDS, LABELS, LAYOUT, known_split
from zoo.data.survey import labels_beside
from zoo.errors import counted, did_you_mean
from zoo.report.doctor import Finding


def _broken_paths(broken: Mapping[Path, str]) -> Iterator[Finding]:
    """Links that lead nowhere, empty files and the like, one finding for each reason."""
    for why in dict.fromkeys(broken.values()):
        files = [path for path, said in broken.items() if said == why]
        what = f"{counted(len(files), 'path')} unusable: {why.removeprefix('is ')}"
        yield finding_of("error", what, how_to_mend(why), files)


def missing_splits(listings: Sequence[Listing]) -> Iterator[Finding]:
    """Whether there is something to train and to validate on."""
    names = [listing.split for listing in listings]
    if not names:
        yield Finding("error", f"{IMAGES} has no split folder", f"bring it into the layout {LAYOUT}")
        return
    for split, use in (("train", "trained"), ("val", "validated")):
        if split not in names:
            near = did_you_mean(split, names).replace("Did you mean", "Is it")
            advice = f"name its folder {split}, in {IMAGES} and in {LABELS}.{near}"
            yield Finding("warning", f"no split {split}: nothing can be {use} on", advice)


def file_names(listing: Listing) -> Iterator[Finding]:
    """What is wrong with the names of a split's files."""
    split, kind = listing.split, listing.label_kind
    yield from _broken_paths(listing.broken)
    for rival in listing.rivals:
        yield finding_of(
            "error", f"two folders are the split {split} by name: {listing.folder.name} and {rival.name}",
            f"rename the one that is not, as in `mv {rival.name} unused_{rival.name}`", [listing.folder, rival],
        )  # fmt: skip
    if listing.folder.name != split and known_split(listing.folder.name) == split:
        yield Finding("note", f"the folder {listing.folder.name} is read as the split {split}", "nothing to do")
    if listing.misnamed:
        yield finding_of(
            "error", f"{counted(len(listing.misnamed), 'image')} of {split} not named as the layout wants",
            f"rename them as in {LAYOUT}, or remove them", listing.misnamed,
        )  # fmt: skip
    if not listing.images:
        yield Finding("error", f"split {split} holds no image", f"bring it into the layout {LAYOUT}, or remove it")
        return
    for noun, files_by_frame in {"images": listing.images, **listing.annotations}.items():
        twice = [path for paths in files_by_frame.values() if len(paths) > 1 for path in paths]
        if twice:
            yield finding_of("error", f"several {noun} for one frame in {split}", "keep one of them", twice)
    if listing.needs_labels and listing.unlabelled:
        files = [listing.images[name][0] for name in listing.unlabelled]
        other = next(known for known in LABEL_KINDS if known != kind)
        mixed = any(name in listing.annotations[other] for name in listing.unlabelled)
        hint = f" (some have {other}: make the kind one, zoo reads a split from one kind)" if mixed else ""
        near = labels_beside(listing.label_folder.parents[1]) if listing.naming == CITYSCAPES_NAMES else ""
        yield finding_of(
            "error", f"images of {split} without a {kind} label: {len(files)} of {len(listing.images)}",
            f"add {listing.expected_label('<frame>')}, or remove the images{hint}{near}", files,
        )  # fmt: skip
    for known, files_of in listing.annotations.items():
        orphans = [path for name, paths in sorted(files_of.items()) if name not in listing.images for path in paths]
        if orphans:
            yield finding_of(
                "warning", f"{counted(len(orphans), 'file')} of {known} in {split} without an image, never read",
                f"restore the images in {listing.folder}, or remove the files", orphans,
            )  # fmt: skip
    bare = sorted(listing.images.keys() - listing.annotations[INSTANCES].keys())
    if 0 < len(bare) < len(listing.images):
        yield finding_of(
            "note", f"frames of {split} without {INSTANCES}: {len(bare)} of {len(listing.images)}",
            "add the missing ones if you want iIoU, which needs all of them",
            [listing.images[name][0] for name in bare],
        )  # fmt: skip
