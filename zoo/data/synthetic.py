"""The synthetic dataset: drawn street frames (`street/`) written in the Cityscapes layout. Free of torch."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from PIL import Image

from zoo.cache import used_folder
from zoo.data.street.scene import draw
from zoo.errors import UserError
from zoo.faults import how_to_write, reason

NAME = "synthetic"
VERSION = 1
"""Of the drawing code; raised whenever a drawn pixel changes."""
MARKER = "zoo-dataset.json"
_FRAMES_PER_CITY = 16
_OWN = ("leftImg8bit", "gtFine", MARKER)


@dataclass(frozen=True)
class Marker:
    """What a synthetic set was drawn with, kept beside it as `zoo-dataset.json`."""

    version: int
    image_size: tuple[int, int]
    train_count: int
    val_count: int
    test_count: int
    seed: int
    complete: bool
    """False while the set is being written."""

    def counts(self) -> dict[str, int]:
        """Number of frames per split, in drawing order."""
        return {"train": self.train_count, "val": self.val_count, "test": self.test_count}

    def canonical(self) -> bytes:
        """The parameters as JSON, the same on every machine."""
        return json.dumps(asdict(self), sort_keys=True).encode()


def is_synthetic(root: Path) -> bool:
    """True when a folder holds a set written by `write_dataset`."""
    return (root / MARKER).is_file()


def read_marker(root: Path) -> Marker:
    """Read the parameters a synthetic set was drawn with.

    Raises:
        UserError: the marker is damaged.
    """
    path = root / MARKER
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        height, width = values.pop("image_size")
        return Marker(image_size=(height, width), **values)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({error}); delete the folder and draw it again") from error


def embedded(cache: Path) -> Path:
    """Folder of the default synthetic set in `cache`, drawn on first use (seconds); safe for several processes at once.

    Raises:
        UserError: the cache cannot be written.
    """
    root = cache / f"{NAME}-v{VERSION}"
    try:
        return used_folder(root, write_dataset)
    except OSError as error:
        raise _cannot_write(root, error) from error


def write_dataset(
    root: Path | str,
    *,
    image_size: tuple[int, int] = (256, 512),
    train_count: int = 48,
    val_count: int = 16,
    test_count: int = 0,
    seed: int = 0,
) -> Path:
    """Draw street frames into `root` in the Cityscapes layout; equal arguments give equal pixels on every machine.

    Args:
        root: an empty or new folder, or one that this function wrote with the same arguments or did not finish.
        image_size: `(height, width)` of the frames, at least 32 pixels each; the same scenes are drawn at any size.
        train_count: number of training frames.
        val_count: number of validation frames.
        test_count: number of test frames.
        seed: other seeds give other streets.

    Raises:
        UserError: `root` holds other files or another set or cannot be written, or a number is out of range.
    """
    root = Path(root).expanduser()
    counts = (train_count, val_count, test_count)
    if min(image_size) < 32 or max(image_size) > 8192:
        raise UserError(f"synthetic frames are 32 to 8192 pixels high and wide; got {image_size[0]}x{image_size[1]}")
    if min(counts) < 0 or sum(counts) == 0 or seed < 0:
        raise UserError(f"counts and seed are 0 or more, and one frame at least; got counts {counts}, seed {seed}")
    marker = Marker(VERSION, image_size, *counts, seed, complete=False)
    try:
        if root.exists() and not root.is_dir():
            raise UserError(f"{root} is a file; give a new or empty folder")
        if root.is_dir() and any(root.iterdir()):
            if not is_synthetic(root):
                raise UserError(f"{root} holds files zoo did not write; give a new or empty folder")
            standing = read_marker(root)
            if standing.complete and standing != replace(marker, complete=True):
                height, width = standing.image_size
                raise UserError(
                    f"{root} holds another synthetic set already ({standing.train_count} train and "
                    f"{standing.val_count} val frames of {height}x{width}, seed {standing.seed}); give a new folder"
                )
            for name in _OWN[:2]:
                shutil.rmtree(root / name, ignore_errors=True)
        root.mkdir(parents=True, exist_ok=True)
        _write_marker(root, marker)
        jobs = [
            (split, index, first + index)
            for (split, count), first in zip(
                marker.counts().items(), (0, train_count, train_count + val_count), strict=True
            )
            for index in range(count)
        ]
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            for _ in pool.map(lambda job: _write_frame(root, marker, *job), jobs):
                pass
        _write_marker(root, Marker(VERSION, image_size, *counts, seed, complete=True))
    except OSError as error:
        raise _cannot_write(root, error) from error
    return root


def _write_frame(root: Path, marker: Marker, split: str, index: int, number: int) -> None:
    """Draw one frame; `index` counts within the split, `number` over all splits."""
    first_city = {"train": 1, "val": 1 + -(-marker.train_count // _FRAMES_PER_CITY)}
    first_city["test"] = first_city["val"] + -(-marker.val_count // _FRAMES_PER_CITY)
    city_index, sequence = divmod(index, _FRAMES_PER_CITY)
    city = f"synth{first_city[split] + city_index:02d}"
    name = f"{city}_{sequence:06d}_{number:06d}"
    scene = draw(marker.image_size, seed=marker.seed, number=number)
    images, annotations = root / "leftImg8bit" / split / city, root / "gtFine" / split / city
    images.mkdir(parents=True, exist_ok=True)
    annotations.mkdir(parents=True, exist_ok=True)
    # Noise has no repeats to find: Huffman codes alone are the quickest, and smaller than level 1.
    Image.fromarray(scene.image).save(images / f"{name}_leftImg8bit.png", compress_type=zlib.Z_HUFFMAN_ONLY)
    Image.fromarray(scene.label_ids).save(annotations / f"{name}_gtFine_labelIds.png")
    Image.fromarray(scene.instance_ids).save(annotations / f"{name}_gtFine_instanceIds.png")


def _write_marker(root: Path, marker: Marker) -> None:
    text = json.dumps(asdict(marker), indent=2) + "\n"
    (root / MARKER).write_text(text, encoding="utf-8")


def _cannot_write(path: Path, error: OSError) -> UserError:
    advice = how_to_write(error, "another folder")
    return UserError(f"cannot write the synthetic set to {path}: {reason(error)}; {advice}")
