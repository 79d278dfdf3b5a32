"""What a training asks before its first step: whether there is anything to learn, and whether its end can be reached.

A question that comes after the work costs the work.
"""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from zoo.config import TrainConfig
from zoo.counting import Predict
from zoo.data.layout import Dataset, Frame, spread
from zoo.data.loading import evaluation_frames
from zoo.data.reading import frame_sizes, read_image, read_label
from zoo.data.spelling import Pixels
from zoo.data.transforms import fit_scale
from zoo.errors import ModelError, UserError
from zoo.spec import IGNORE_INDEX, ModelSpec, RecipeFamily, Size
from zoo.train.schedule import learning_rate

CROP_UNIT = 32
"""A multiple of most networks' strides."""
LEAST_PEAK = 1 / 2
"""Of the learning rate that was asked for, to be reached in the run."""
MAX_FIRST_SHARE = 1 / 2
"""Of the averaged weights, still those of the first step."""
TRIED_SIZES = 4
RESERVE_BYTES = 64 << 20


def require_a_recipe_that_learns(spec: ModelSpec, config: TrainConfig, family: RecipeFamily) -> None:
    """Refuse a recipe by which this model's kept weights would hardly be trained.

    Raises:
        ModelError: a warm-up that takes most of the run, or an average that has not left the first step behind.
    """
    if family == "adamw_poly" and config.warmup_steps:
        peak = max(learning_rate(step, config, family) for step in range(config.steps)) / config.adamw_learning_rate
        if peak < LEAST_PEAK:
            raise ModelError(
                f"{spec.name}: after a warm-up of {config.warmup_steps} steps in a run of {config.steps} the rate "
                f"would reach {100 * peak:.2g} % of what was asked; set warmup_steps={config.steps // 10}, or more "
                "steps"
            )
    decay = config.ema_decay or 0.0
    first = decay ** (config.steps - 1)
    if config.steps > 1 and first > MAX_FIRST_SHARE:
        share = f"{100 * first:.0f} % the weights of the first one"
        fitting = math.floor(1000 * 0.05 ** (1 / config.steps)) / 1000
        raise ModelError(
            f"{spec.name}: after {config.steps} steps the average of ema_decay={decay} would still be {share}; set "
            f"ema_decay={fitting}, or more steps"
        )


def require_something_to_learn(spec: ModelSpec, config: TrainConfig, dataset: Dataset) -> None:
    """Refuse data on which the loss is 0, or the best answer the same everywhere, whatever is trained.

    Labels are read until two classes were seen, which the first one mostly shows.

    Raises:
        UserError: fewer than two classes to tell apart: in the dataset, in its labels, or by their weights.
        ModelError: a network that answers with fewer than two of the classes.
    """
    names, weights = dataset.spec.class_names, config.class_weights
    if len(names) < 2:
        raise UserError(
            f"{dataset.name} has one class, {names[0]!r}, so every answer is right: loss 0 and mIoU 100 % for any "
            "network; give the rest of the image a class of its own, such as background, in classes.toml"
        )
    answered = set(range(len(names)) if spec.train_ids is None else spec.train_ids) - {IGNORE_INDEX}
    if len(answered) < 2:
        raise ModelError(f"{spec.name}: its train_ids name {len(answered)} of the classes; 2 or more can be told apart")
    weighted = answered
    if isinstance(weights, tuple):
        weighted = {index for index in answered if index < len(weights) and weights[index] > 0}
        if len(weights) == len(names) and len(weighted) < 2:
            raise UserError(
                f"class_weights is above 0 for {len(weighted)} of the classes that {spec.name} answers with, so there "
                "is nothing to tell apart; give at least two of them a weight"
            )
    seen: set[int] = set()
    for frame in spread_order(dataset.frames("train")):
        seen |= set(np.unique(read_label(frame, dataset.spec)).tolist()) & weighted
        if len(seen) > 1:
            break
    else:
        if not seen:
            raise UserError(
                f"no label of {dataset.root}'s split train holds a class that counts (all pixels are ignored): look "
                "whether its values are those of classes.toml (`zoo doctor`)"
            )
        raise UserError(
            f"{names[seen.pop()]!r} is the only class in {dataset.root}'s split train that counts, so one answer is "
            "always right; label another class too (`zoo doctor`)"
        )


def spread_order(frames: Sequence[Frame]) -> list[Frame]:
    """Frames from all over a split first, then the others."""
    first = list(spread(frames, min(8, len(frames))))
    return first + [frame for frame in frames if frame not in first]


def useful_crop_size(config: TrainConfig, dataset: Dataset) -> Size:
    """What of the recipe's crop any frame ever fills, up to a multiple of 32: beyond it all is padding, for ever.

    A frame is cut at the same place, and shows the same, whichever of the two is asked for.

    Raises:
        UserError: no split `train`, or a damaged file.
    """
    filled = [0.0, 0.0]
    for size in set(frame_sizes(dataset.frames("train"))):
        scale = config.scale_range[1] * (fit_scale(size, config.image_size) if config.image_size else 1)
        filled = [max(known, side * scale) for known, side in zip(filled, size, strict=True)]
    height, width = (
        min(crop, CROP_UNIT * math.ceil(side / CROP_UNIT)) for crop, side in zip(config.crop_size, filled, strict=True)
    )
    return height, width


def require_a_readable_split(dataset: Dataset, split: str) -> None:
    """Read a split that will be scored once, all of it: a fraction of what scoring it takes.

    Raises:
        UserError: a damaged file, or nothing labelled.
    """
    labelled = False
    for _, _, label in evaluation_frames(dataset, split):
        labelled = labelled or bool((label != IGNORE_INDEX).any())
    if not labelled:
        raise UserError(
            f"no pixel of {dataset.root}'s split {split} is labelled with a class that counts, so there is nothing to "
            "measure; correct its labels, or take the split away to train without validation"
        )


def unvalidated(dataset: Dataset) -> str:
    """What it means that there is no split `val`, in one line."""
    return (
        f"{dataset.root} has no split val (it has {', '.join(dataset.splits())}): no mIoU is known on the way, and the "
        "weights of the last step are the ones that count"
    )


def try_network(spec: ModelSpec, dataset: Dataset, split: str, make: Callable[[Size], Predict]) -> None:
    """Let the network answer one frame of each size it will be scored on: the largest, the smallest, the commonest.

    Args:
        spec: The model.
        dataset: An opened dataset.
        split: Such as `"val"`.
        make: As `counting.by_size` takes it.

    Raises:
        ModelError: it fails on one of them.
    """
    frames = dataset.frames(split)
    sizes = frame_sizes(frames)
    common = [size for size, _ in Counter(sizes).most_common()]
    by_area = sorted(common, key=math.prod)
    for size in list(dict.fromkeys([by_area[-1], by_area[0], *common]))[:TRIED_SIZES]:
        image: Pixels = read_image(frames[sizes.index(size)].image)
        try:
            make(size)(torch.from_numpy(image)[None])
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            said = " ".join(str(error).split())[:200] or type(error).__name__
            raise ModelError(
                f"{spec.name} fails on a frame of {split}, {size[0]}x{size[1]}, on which it would be scored: "
                f"{type(error).__name__}: {said}; say what it takes by its `divisor`, or by the recipe's image_size"
            ) from error


def kept_copies(config: TrainConfig, family: RecipeFamily, *, keep_state: bool) -> int:
    """How many times the weights' size a run keeps: best, last and, with a state, what resumes; and one draft of it."""
    averages = config.ema_decay is not None
    state = 1 + averages + (2 if family == "adamw_poly" else 1)
    return 2 + (2 * state if keep_state else 1)


def require_room(folder: Path, weights_bytes: int, *, copies: int) -> None:
    """Refuse a disk that cannot hold what a run keeps.

    Args:
        folder: Where it goes.
        weights_bytes: Of the network's weights.
        copies: Of that size, drafts included.

    Raises:
        UserError: less is free.
    """
    standing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    need, free = copies * weights_bytes + RESERVE_BYTES, shutil.disk_usage(standing).free
    if free < need:
        raise UserError(
            f"the checkpoints of this run need {need / 2**30:.1f} GiB in {folder}, which has {free / 2**30:.1f} GiB "
            "free; free some room, or name another folder with --runs"
        )
