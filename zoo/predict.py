"""Predictions out of the house: pictures of photographs and frames, a sheet of them, a submission to Cityscapes."""

from __future__ import annotations

import functools
import io
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePath
from typing import Literal, TypeVar, get_args
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from zoo.data.layout import DAMAGE, Dataset, Frame, OnFrame, spread
from zoo.data.naming import IMAGE_SUFFIXES
from zoo.data.reading import read_image, read_label, unreadable
from zoo.errors import UserError, blamed_on, did_you_mean
from zoo.files import write_all
from zoo.labels import CITYSCAPES
from zoo.pipeline import Pipeline
from zoo.record import Precision
from zoo.runtimes.base import Runnable
from zoo.spec import IGNORE_INDEX, DatasetSpec, Size
from zoo.train.validate import trained_pipeline

Pixels = NDArray[np.uint8]
Item = TypeVar("Item")
Saved = TypeVar("Saved")

Kind = Literal["overlay", "color", "labelIds", "confidence"]
"""What is written of an image; the name of its folder and the end of its name."""
SheetKind = Literal["image", "truth", "overlay", "color", "confidence"]
"""What a sheet may show of a frame."""

KINDS: tuple[Kind, ...] = get_args(Kind)
SHEET_KINDS: tuple[SheetKind, ...] = ("image", "truth", "color")
PHOTO_SUFFIXES = (*IMAGE_SUFFIXES, ".bmp", ".gif", ".jp2", ".ppm")
"""What is taken for an image in a folder; a file that is named is tried whatever its suffix."""
SHEET_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
TILE_WIDTH = 480
"""Widest picture on a sheet, in pixels."""
_THREADS = 4  # that read, draw and write while the network computes
_BAND_ROWS = 64  # of full-size logits that are alive at a time
_TEXT, _LINE, _GAP = 14, 22, 8  # of a sheet, in pixels


@dataclass(frozen=True)
class Prediction:
    """What a model says of one image."""

    image: Pixels
    """`(H, W, 3)` RGB."""
    train_ids: Pixels
    """`(H, W)` classes, `IGNORE_INDEX` for none of the dataset's."""
    confidence: Pixels | None
    """`(H, W)` highest softmax probability in 255ths; `None` where it was not asked for."""


@dataclass(frozen=True)
class Predictor:
    """A trained model that answers images of any size."""

    name: str
    classes: DatasetSpec
    deployed: Callable[[Size], tuple[Pipeline, Runnable]]

    def __call__(self, image: Pixels, *, confidence: bool = False) -> Prediction:
        """Predict `(H, W, 3)` `uint8` RGB through the pipeline that is evaluated and benchmarked.

        Raises:
            UserError: the network fails on this image, or the device does not compute in this precision.
        """
        height, width, _ = image.shape
        with blamed_on(self.name):
            pipeline, runnable = self.deployed((height, width))
            *stages, upsample_argmax, copy_out = runnable.stages.values()
            x = torch.from_numpy(image)[None]
            for stage in stages:
                x = stage(x)  # at last (1, K, h, w) logits
            sure = _confidence(x, pipeline) if confidence else None
            return Prediction(image, copy_out(upsample_argmax(x))[0].numpy(), sure)


def load_predictor(
    name: str,
    dataset: Dataset,
    *,
    checkpoint: Path | str | None = None,
    input_size: Size | None = None,
    device: str = "auto",
    precision: Precision = "fp32",
    runs: Path | str | None = None,
) -> Predictor:
    """Load a trained model to predict with.

    Args:
        name: Whatever `zoo.catalog.find` takes.
        dataset: Its classes and colours, and which run's weights.
        checkpoint: Its weights; `None`: those of its finished run on this dataset, where there is one recipe alone.
        input_size: What the network sees, `(height, width)`; `None`: as it was trained, else the image's own size.
        device: `auto`, `cpu`, `cuda`, `cuda:1` …
        precision: What the network computes in.
        runs: Folder of all runs; `None`: `ZOO_RUNS`, else `runs`.

    Raises:
        UserError: unknown model or device, no weights, or weights of another model.
    """
    deployed = trained_pipeline(
        name, dataset, checkpoint=checkpoint, input_size=input_size, device=device, precision=precision, runs=runs
    )
    return Predictor(name, dataset.spec, functools.lru_cache(maxsize=8)(deployed))


def predict_images(
    predictor: Predictor,
    source: Path | str,
    output: Path | str,
    *,
    kinds: Sequence[Kind] = KINDS,
    on_image: OnFrame | None = None,
) -> list[Path]:
    """Write pictures of what a model sees in photographs; what `zoo predict MODEL IMAGE|DIR -o OUT` does.

    Each image gives `<output>/<kind>/<its own path>/<stem>_<kind>.png`, at its own size:

    - `overlay`: the image blended with the classes' colours, a white line where two classes meet;
    - `color`: the classes' colours alone, black where there is none;
    - `labelIds`: the values that the dataset's label files hold, which is what every scorer takes. They have a folder
      for themselves so that `zoo eval --predictions <output>/labelIds` and the official scripts find one file a frame;
    - `confidence`: the highest softmax probability, 255 for 1.

    Args:
        predictor: The model.
        source: An image of any sort that Pillow reads with 8 bits a channel, made RGB and turned upright as its EXIF
            says; or a folder, where all images are taken, in the folders below it too.
        output: Folder for the pictures; what is there under the same name is replaced.
        kinds: Which pictures.
        on_image: Told of every image.

    Raises:
        UserError: no image, a damaged one, two that would be written to one file, an unknown kind, or a folder that
            cannot be written.
    """
    output = Path(output).expanduser()
    photos = _find_photos(Path(source).expanduser(), output)
    return _write_pictures(predictor, photos, _read_photo, output, kinds, on_image)


def predict_split(
    predictor: Predictor,
    dataset: Dataset,
    split: str,
    output: Path | str,
    *,
    image_count: int | None = None,
    kinds: Sequence[Kind] = KINDS,
    on_image: OnFrame | None = None,
) -> list[Path]:
    """Write the pictures of `predict_images` for the frames of a split, in a folder per city.

    Args:
        predictor: The model.
        dataset: An opened dataset.
        split: Such as `"val"`; it needs no labels.
        output: As in `predict_images`.
        image_count: This many frames, spread evenly over the split; `None`: all.
        kinds: Which pictures.
        on_image: Told of every image.

    Raises:
        UserError: no such split, a damaged file, an unknown kind, or a folder that cannot be written.
    """
    frames = spread(dataset.frames(split), image_count)
    images = {PurePath(frame.city, frame.name): frame.image for frame in frames}
    return _write_pictures(predictor, images, read_image, Path(output).expanduser(), kinds, on_image)


def predict_sheet(
    predictor: Predictor,
    dataset: Dataset,
    split: str,
    file: Path | str,
    *,
    image_count: int = 3,
    kinds: Sequence[SheetKind] = SHEET_KINDS,
    on_image: OnFrame | None = None,
) -> Path:
    """Write frames of a split side by side as one picture: what was photographed, what is true, what the model says.

    Args:
        predictor: The model.
        dataset: An opened dataset.
        split: Such as `"val"`.
        file: `.png`, `.jpg`, `.jpeg` or `.webp`.
        image_count: Number of frames, one column each, spread evenly over the split.
        kinds: What to show of each frame, from top to bottom; `color` and `overlay` are the model's.
        on_image: Told of every image.

    Raises:
        UserError: no such split or kind, `truth` in a split without labels, a damaged file, or one that cannot be
            written.
    """
    file = Path(file).expanduser()
    if file.suffix.lower() not in SHEET_SUFFIXES:
        raise UserError(f"a sheet is one picture, {', '.join(SHEET_SUFFIXES)}; got {file}")
    _check_kinds(kinds, get_args(SheetKind))
    spec, said = dataset.spec, {"color": predictor.name, "overlay": predictor.name}
    frames = spread(dataset.frames(split), image_count)
    seen: set[int] = set()  # classes

    def column(frame: Frame, prediction: Prediction) -> list[Image.Image]:
        shown: dict[str, Pixels] = {kind: _PICTURES[kind](prediction, spec) for kind in kinds if kind != "truth"}
        seen.update(np.unique(prediction.train_ids).tolist())
        if "truth" in kinds:
            truth = read_label(frame, spec)
            shown["truth"] = color_map(truth, spec)
            seen.update(np.unique(truth).tolist())
        return [_tile(shown[kind], f"{frame.name} · {said.get(kind, kind)}") for kind in kinds]

    images = [(frame, frame.image) for frame in frames]
    columns = list(_stream(predictor, images, read_image, column, "confidence" in kinds, on_image))
    grid = _grid(list(zip(*columns, strict=True)))
    colors = dict(enumerate(zip(spec.class_names, spec.class_colors, strict=True)))
    colors[IGNORE_INDEX] = "ignored", (0, 0, 0)
    legend = _legend([entry for train_id, entry in colors.items() if train_id in seen], grid.width)
    sheet = ImageOps.expand(_grid([[grid], [legend]]), _GAP, "white")
    _write({file: _encoded(sheet, file.suffix.lower())}, file)
    return file


def predict_submission(
    predictor: Predictor, dataset: Dataset, split: str, file: Path | str, *, on_image: OnFrame | None = None
) -> Path:
    """Write what the Cityscapes server takes: one PNG of label ids per frame of a split, at its full size, in a `.zip`.

    The archive appears only when all of it is there and `check_submission` has read it back.
    Source: https://www.cityscapes-dataset.com/submit/

    Args:
        predictor: The model.
        dataset: An opened dataset with Cityscapes' classes.
        split: `"test"` for the server; any other works too.
        file: The `.zip`; one that is there is replaced.
        on_image: Told of every image.

    Raises:
        UserError: other classes than Cityscapes', no such split, a damaged image, or a file that cannot be written.
    """
    file = Path(file).expanduser()
    if file.suffix.lower() != ".zip" or file.is_dir():
        raise UserError(f"a submission is one .zip file; got {file}: name it {file.name.removesuffix(file.suffix)}.zip")
    if dataset.spec.label_to_train_id != CITYSCAPES.label_to_train_id:
        raise UserError(
            f"{dataset.root} has classes of its own, and the Cityscapes server takes its own label ids alone; "
            "write pictures with -o DIR instead"
        )
    images = [(frame.name, frame.image) for frame in dataset.frames(split)]
    _check_frame_names(name for name, _ in images)
    sizes: dict[str, tuple[int, ...]] = {}

    def encode(name: str, prediction: Prediction) -> tuple[str, bytes]:
        sizes[name] = prediction.image.shape[:2]
        return name, _encoded(Image.fromarray(label_ids(prediction.train_ids, dataset.spec)), ".png")

    def write(draft: Path) -> None:
        with ZipFile(draft, "w") as archive:  # stored: PNGs are compressed already
            for name, png in _stream(predictor, images, read_image, encode, False, on_image):
                archive.writestr(ZipInfo(f"{name}_labelIds.png"), png)  # no date: equal predictions, equal bytes
        check_submission(draft, sizes)

    _write({file: write}, file)
    return file


def check_submission(file: Path, sizes: Mapping[str, tuple[int, ...]]) -> None:
    """Hold an archive against the rules of the official evaluation script.

    Every frame is answered by exactly one file `<city>_<seq>_<frame>*.png`, which is a single-channel 8-bit PNG of the
    frame's size that holds official label ids alone.
    Source: `getPrediction` and `evaluatePair` of cityscapesScripts' `evalPixelLevelSemanticLabeling.py`.

    Args:
        file: The `.zip`.
        sizes: `(height, width)` of every frame by its name.

    Raises:
        UserError: a rule is broken, or the archive is damaged; the first such thing is named.
    """
    _check_frame_names(sizes)
    try:
        with ZipFile(file) as archive:
            members = [(PurePath(member).name, member) for member in archive.namelist()]
            for name, size in sizes.items():
                answer = _only_answer(name, members)
                with archive.open(answer) as stream, Image.open(stream) as image:
                    _check_answer(answer, image, size)
    except UserError:
        raise
    except (*DAMAGE, BadZipFile) as error:
        raise UserError(f"{file.name} is damaged: {error}") from error


def color_map(train_ids: Pixels, spec: DatasetSpec) -> Pixels:
    """Classes in their colours: `(H, W)` train ids → `(H, W, 3)` RGB, black where there is no class."""
    palette = np.zeros((256, 3), np.uint8)
    palette[: spec.num_classes] = spec.class_colors
    return palette[train_ids]


def overlay(image: Pixels, train_ids: Pixels, spec: DatasetSpec) -> Pixels:
    """Half image, half colour, and a white line of two pixels where classes meet: `(H, W, 3)` RGB."""
    blended = (image // 2) + (color_map(train_ids, spec) // 2)
    across, down = train_ids[:, 1:] != train_ids[:, :-1], train_ids[1:] != train_ids[:-1]
    for border in (blended[:, 1:], blended[:, :-1]):
        border[across] = 255
    for border in (blended[1:], blended[:-1]):
        border[down] = 255
    return blended


def label_ids(train_ids: Pixels, spec: DatasetSpec) -> Pixels:
    """Train ids → the values of the dataset's label files, the first one that each class has there.

    No class becomes the first ignored value, else the first one that the dataset does not use.
    """
    first: dict[int, int] = {}
    for value, train_id in spec.label_to_train_id.items():
        first.setdefault(train_id, value)
    unused = next(value for value in range(257) if value not in spec.label_to_train_id)
    table = np.full(256, first.pop(IGNORE_INDEX, unused), np.uint8)
    table[list(first)] = list(first.values())
    return table[train_ids]


_PICTURES: dict[str, Callable[[Prediction, DatasetSpec], Pixels]] = {
    "image": lambda prediction, _: prediction.image,
    "overlay": lambda prediction, spec: overlay(prediction.image, prediction.train_ids, spec),
    "color": lambda prediction, spec: color_map(prediction.train_ids, spec),
    "labelIds": lambda prediction, spec: label_ids(prediction.train_ids, spec),
    "confidence": lambda prediction, _: np.asarray(prediction.confidence),
}


def _confidence(logits: Tensor, pipeline: Pipeline) -> Pixels:
    """Highest softmax probability of every pixel, `(1, K, h, w)` → `(H, W)` in 255ths, a band of rows at a time."""
    (rows, columns), corners = pipeline.grid_size, pipeline.spec.align_corners
    with torch.inference_mode():
        # Bilinear is separable: rows first, K * H * w values in all.
        tall = F.interpolate(logits.float(), (rows, logits.shape[3]), mode="bilinear", align_corners=corners)
        bands = []
        for band in torch.split(tall[:, :, : pipeline.output_size[0]], _BAND_ROWS, dim=2):
            wide = F.interpolate(band, (band.shape[2], columns), mode="bilinear", align_corners=corners)
            highest = wide[..., : pipeline.output_size[1]].softmax(dim=1).amax(dim=1)
            bands.append((highest * 255).round().to(torch.uint8))
        return torch.cat(bands, dim=1)[0].numpy(force=True)


def _read_photo(path: Path) -> Pixels:
    """Read an image as a viewer shows it: RGB `(H, W, 3)`, upright."""
    try:
        with Image.open(path) as image:
            if not image.mode.startswith(("I", "F")):  # integers and floats, whose range nobody knows
                return np.array(ImageOps.exif_transpose(image).convert("RGB"))
            mode = image.mode
    except DAMAGE as error:
        raise unreadable("image", path, error) from error
    raise UserError(f"image {path} has Pillow mode {mode}, more than 8 bits per channel: store it as 8-bit RGB or grey")


def _find_photos(source: Path, output: Path) -> dict[PurePath, Path]:
    """Images by what their predictions are called: their path below `source` without suffix."""
    if source.is_file():
        return {PurePath(source.stem): source}
    if not source.is_dir():
        raise UserError(f"no image file or folder {source}")
    if source.resolve() == output.resolve():
        raise UserError(f"{output} is the folder of the images themselves; name another one with -o")
    photos: dict[PurePath, Path] = {}
    for folder, below, names in os.walk(source, onerror=_unreadable):  # links to folders are not followed: no loops
        below[:] = sorted(
            name for name in below if not name.startswith(".") and Path(folder, name).resolve() != output.resolve()
        )
        for path in (Path(folder, name) for name in sorted(names)):
            if path.name.startswith(".") or path.suffix.lower() not in PHOTO_SUFFIXES:
                continue
            name = path.relative_to(source).with_suffix("")
            if name in photos:
                raise UserError(f"{photos[name]} and {path} would be written to the same files; rename one of them")
            photos[name] = path
    if not photos:
        raise UserError(f"no image in {source}; an image ends in {', '.join(PHOTO_SUFFIXES)}")
    return photos


def _unreadable(error: OSError) -> None:
    raise UserError(f"{error.filename} cannot be read: {error.strerror}") from error


def _check_kinds(given: Sequence[str], known: Sequence[str]) -> None:
    for kind in given:
        if kind not in known:
            raise UserError(f"no kind {kind!r} here.{did_you_mean(kind, known)} There are: {', '.join(known)}")
    if not given:
        raise UserError(f"name one kind at least of {', '.join(known)}")


def _write_pictures(
    predictor: Predictor,
    images: Mapping[PurePath, Path],
    read: Callable[[Path], Pixels],
    output: Path,
    kinds: Sequence[Kind],
    on_image: OnFrame | None,
) -> list[Path]:
    _check_kinds(kinds, KINDS)

    def save(name: PurePath, prediction: Prediction) -> list[Path]:
        files = {
            output / kind / name.parent / f"{name.name}_{kind}.png": _PICTURES[kind](prediction, predictor.classes)
            for kind in kinds
        }
        _write({file: _encoded(Image.fromarray(pixels), ".png") for file, pixels in files.items()}, output)
        return list(files)

    leaves = {output / kind / name.parent for kind in kinds for name in images}
    missing = {folder for leaf in leaves for folder in (leaf, *leaf.parents) if not os.path.exists(folder)}  # noqa: PTH110
    try:
        written = _stream(predictor, list(images.items()), read, save, "confidence" in kinds, on_image)
        return [file for files in written for file in files]
    finally:
        for folder in sorted(missing, reverse=True):
            with suppress(OSError):  # it holds pictures, or was never made
                folder.rmdir()


def _stream(
    predictor: Predictor,
    images: Sequence[tuple[Item, Path]],
    read: Callable[[Path], Pixels],
    save: Callable[[Item, Prediction], Saved],
    confidence: bool,
    on_image: OnFrame | None,
) -> Iterator[Saved]:
    """Yield `save(item, prediction)` in order; threads read and save other images while the network sees one."""
    with ThreadPoolExecutor(_THREADS) as pool:
        rest = iter(images)
        reading = deque((item, pool.submit(read, path)) for item, path in islice(rest, 2))
        saving: deque[Future[Saved]] = deque()
        done = 0
        while reading or saving:
            if reading:
                item, image = reading.popleft()
                reading.extend((later, pool.submit(read, path)) for later, path in islice(rest, 1))
                saving.append(pool.submit(save, item, predictor(image.result(), confidence=confidence)))
            if not reading or len(saving) == _THREADS:
                yield saving.popleft().result()
                done += 1
                if on_image:
                    on_image(done, len(images))


def _write(contents: Mapping[Path, bytes | Callable[[Path], object]], target: Path) -> None:
    """`write_all` with one line for what a disk may say."""
    try:
        write_all(contents)
    except OSError as error:
        why = error.strerror or error
        raise UserError(f"cannot write {target}: {why}; free some space, or name another place") from error


def _encoded(picture: Image.Image, suffix: str) -> bytes:
    file = io.BytesIO()
    options = {".jpg": {"quality": 88}, ".jpeg": {"quality": 88}, ".webp": {"quality": 88}}.get(suffix, {})
    picture.save(file, Image.registered_extensions()[suffix], **options)
    return file.getvalue()


def _check_frame_names(names: Iterable[str]) -> None:
    """The official script reads a name's three parts, and finds a frame's prediction by how its name begins."""
    before = None
    for name in sorted(names):
        if name.count("_") != 2:
            raise UserError(f"frame {name} is not named <city>_<seq>_<frame>: the official script cannot read it")
        if before is not None and name.startswith(before):
            raise UserError(
                f"frame {name} begins with the name of frame {before}: the official script cannot tell them apart; "
                "give all frame numbers as many digits"
            )
        before = name


def _only_answer(frame_name: str, members: Sequence[tuple[str, str]]) -> str:
    found = [member for base, member in members if base.startswith(frame_name) and base.endswith(".png")]
    if len(found) != 1:
        raise UserError(f"frame {frame_name} has {len(found)} predictions in the archive; the rule is exactly one")
    return found[0]


def _check_answer(name: str, image: Image.Image, size: tuple[int, ...]) -> None:
    if image.format != "PNG" or image.mode != "L":
        raise UserError(f"{name} is {image.format} of mode {image.mode}; the rule is a single-channel 8-bit PNG")
    if (image.height, image.width) != size:
        raise UserError(f"{name} is {image.height}x{image.width}; its frame is {size[0]}x{size[1]}")
    strange = [
        value for value, count in enumerate(image.histogram()) if count and value not in CITYSCAPES.label_to_train_id
    ]
    if strange:
        raise UserError(f"{name} holds {', '.join(map(str, strange[:5]))}, no official label id")


def _tile(pixels: Pixels, caption: str) -> Image.Image:
    """A picture, at most `TILE_WIDTH` wide, under its caption."""
    picture = Image.fromarray(pixels).convert("RGB")
    if picture.width > TILE_WIDTH:
        size = TILE_WIDTH, round(picture.height * TILE_WIDTH / picture.width)
        picture = picture.resize(size, Image.Resampling.BOX)
    tile = Image.new("RGB", (picture.width, picture.height + _LINE), "white")
    ImageDraw.Draw(tile).text((0, _LINE // 2), caption, "black", ImageFont.load_default(_TEXT), anchor="lm")
    tile.paste(picture, (0, _LINE))
    return tile


def _grid(rows: Sequence[Sequence[Image.Image]]) -> Image.Image:
    """Pictures in rows of equal length, on white."""
    widths = [max(picture.width for picture in column) for column in zip(*rows, strict=True)]
    heights = [max(picture.height for picture in row) for row in rows]
    size = sum(widths) + _GAP * (len(widths) - 1), sum(heights) + _GAP * (len(heights) - 1)
    grid = Image.new("RGB", size, "white")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            grid.paste(picture, (sum(widths[:x]) + _GAP * x, sum(heights[:y]) + _GAP * y))
    return grid


def _legend(entries: Sequence[tuple[str, tuple[int, int, int]]], width: int) -> Image.Image:
    """Names beside their colours, in lines of `width` pixels."""
    font = ImageFont.load_default(_TEXT)
    places, x, y = [], 0, 0
    for name, _ in entries:
        step = 2 * _LINE + round(font.getlength(name))
        if x and x + step > width:
            x, y = 0, y + _LINE
        places.append((x, y))
        x += step
    legend = Image.new("RGB", (width, y + _LINE), "white")
    draw = ImageDraw.Draw(legend)
    for (name, color), (left, top) in zip(entries, places, strict=True):
        draw.rectangle((left, top + 3, left + _LINE - 6, top + _LINE - 3), color)
        draw.text((left + _LINE, top + _LINE // 2), name, "black", font, anchor="lm")
    return legend
