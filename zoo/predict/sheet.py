"""Frames of a split side by side as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from zoo.data.layout import Dataset, Frame, OnFrame, spread
from zoo.data.reading import read_image, read_label
from zoo.data.spelling import Pixels
from zoo.errors import UserError
from zoo.predict.drawing import PICTURES, check_kinds, color_map, encoded
from zoo.predict.predictor import Prediction, Predictor
from zoo.predict.stream import Count, stream, write
from zoo.spec import IGNORE_INDEX

SheetKind = Literal["image", "truth", "overlay", "color", "confidence"]
"""What a sheet may show of a frame."""
SHEET_KINDS: tuple[SheetKind, ...] = ("image", "truth", "color")
SHEET_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
TILE_WIDTH = 480
"""Widest picture on a sheet, in pixels."""
_TEXT, _LINE, _GAP = 14, 22, 8  # in pixels


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
    check_kinds(kinds, get_args(SheetKind))
    spec, said = dataset.spec, {"color": predictor.name, "overlay": predictor.name}
    frames = spread(dataset.frames(split), image_count)
    seen: set[int] = set()  # classes

    def column(frame: Frame, prediction: Prediction) -> list[Image.Image]:
        shown: dict[str, Pixels] = {kind: PICTURES[kind](prediction, spec) for kind in kinds if kind != "truth"}
        seen.update(np.unique(prediction.train_ids).tolist())
        if "truth" in kinds:
            truth = read_label(frame, spec)
            shown["truth"] = color_map(truth, spec)
            seen.update(np.unique(truth).tolist())
        return [_tile(shown[kind], f"{frame.name} · {said.get(kind, kind)}") for kind in kinds]

    images = [(frame, partial(read_image, frame.image)) for frame in frames]
    on_done = Count(on_image, len(images))
    columns = list(stream(predictor, images, column, confidence="confidence" in kinds, on_done=on_done))
    grid = _grid(list(zip(*columns, strict=True)))
    colors = dict(enumerate(zip(spec.class_names, spec.class_colors, strict=True)))
    colors[IGNORE_INDEX] = "ignored", (0, 0, 0)
    legend = _legend([entry for train_id, entry in colors.items() if train_id in seen], grid.width)
    sheet = ImageOps.expand(_grid([[grid], [legend]]), _GAP, "white")
    write({file: encoded(sheet, file.suffix.lower())}, file)
    return file


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
