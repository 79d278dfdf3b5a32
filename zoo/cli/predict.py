"""`zoo predict`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from zoo.cli.flags import (
    CACHE,
    DATA,
    DEVICE,
    INPUT_SIZE,
    RUNS,
    WEIGHTS,
    Verbs,
    add_verb,
    count,
    make_console,
    only_given,
    read_size,
    read_words,
    refuse,
    say_weights,
    warn,
)
from zoo.errors import UserError, counted

if TYPE_CHECKING:
    from pathlib import Path

    from zoo.data.layout import Dataset
    from zoo.predict.predictor import Predictor
    from zoo.report.progress import LiveImages


def add(verbs: Verbs) -> None:
    """Add the verb and its flags."""
    parser = add_verb(verbs, "predict", run, "pictures of what a trained model sees, or a submission to Cityscapes")
    parser.add_argument("model", metavar="MODEL", help="see `zoo list`; or one of your own")
    parser.add_argument("image", nargs="?", metavar="IMAGE|DIR", help="a photograph or video, or a folder of them")
    parser.add_argument("-o", "--output", metavar="DIR", help="one folder per kind of picture is written here")
    parser.add_argument(
        "--kinds",
        action="append",
        metavar="K,…",
        help="overlay, color, labelIds, confidence (default: all); of a sheet: image, truth, color (default), …",
    )
    parser.add_argument("--rate", metavar="R", help="frames per second of the video that is written (default: its own)")
    parser.add_argument("--split", metavar="NAME", help="frames of the dataset, such as val, in place of images")
    parser.add_argument("--images", type=count, metavar="N", help="this many of the split, spread over it")
    parser.add_argument("--sheet", metavar="FILE", help="frames of a split side by side as one picture")
    parser.add_argument("--submission", metavar="FILE.zip", help="label ids of the whole split for Cityscapes' server")
    parser.add_argument("--weights", "--checkpoint", **WEIGHTS)
    parser.add_argument("--data", **DATA)
    parser.add_argument("--cache", **CACHE)
    parser.add_argument("--input-size", **INPUT_SIZE)
    parser.add_argument("--precision", choices=("fp32", "tf32", "bf16", "fp16"), default="fp32")
    parser.add_argument("--device", default="auto", **DEVICE)
    parser.add_argument("--runs", **RUNS)


def run(arguments: argparse.Namespace) -> int:
    """Run it and return its exit code."""
    given = [flag for flag in ("image", "split") if getattr(arguments, flag) is not None]
    if len(given) != 1:
        raise UserError("zoo predict takes an IMAGE or a folder of images, or --split NAME of the dataset; give one")
    outputs = [flag for flag in ("output", "sheet", "submission") if getattr(arguments, flag) is not None]
    if len(outputs) != 1 or (outputs != ["output"] and arguments.split is None):
        raise UserError(
            "zoo predict writes pictures (-o DIR), or of a --split one picture (--sheet FILE) or what Cityscapes' "
            "server takes (--submission FILE.zip); say which one"
        )
    if arguments.split is not None:
        refuse(arguments, ("rate",), "a rate is that of a video")
    from zoo.catalog import find
    from zoo.config import parse_rate
    from zoo.data.layout import open_dataset
    from zoo.predict.pictures import predict_images
    from zoo.predict.predictor import load_predictor
    from zoo.report.progress import LiveImages
    from zoo.weights.asked import knows_itself, parse_asked

    rate = parse_rate(arguments.rate) if arguments.rate else None
    asked = parse_asked(arguments.weights or "auto")
    needless = arguments.split is None and arguments.data is None and knows_itself(asked, find(arguments.model))
    dataset = None if needless else open_dataset(arguments.data, cache=arguments.cache)
    predictor = load_predictor(
        arguments.model,
        dataset,
        input_size=read_size(arguments.input_size),
        device=arguments.device,
        precision=arguments.precision,
        runs=arguments.runs,
        cache=arguments.cache,
        **only_given(weights=arguments.weights),
    )
    say_weights(arguments.model, predictor.source)
    faults: list[UserError] = []
    with LiveImages(make_console(stderr=True), arguments.model) as live:
        if dataset is None or arguments.split is None:
            if arguments.images is not None:
                raise UserError("--images counts frames of a --split; leave it away")
            kinds = only_given(kinds=read_words(arguments.kinds))
            shared: dict[str, Any] = {"on_image": live, "on_fault": faults.append, **kinds}
            files = predict_images(predictor, arguments.image, arguments.output, rate=rate, **shared)
            few = len(files) <= 4
            lines = [f"wrote {file}" for file in files] if few else [_wrote(files, arguments.output)]
        else:
            lines = [_split(arguments, predictor, dataset, live, faults)]
    print("\n".join(lines))
    warn([str(fault) for fault in faults])
    return 1 if faults else 0


def _split(
    arguments: argparse.Namespace, predictor: Predictor, dataset: Dataset, live: LiveImages, faults: list[UserError]
) -> str:
    """Predict frames of the dataset and say what was written."""
    from zoo.predict.pictures import predict_split
    from zoo.predict.sheet import predict_sheet
    from zoo.predict.submission import predict_submission

    kinds, count = only_given(kinds=read_words(arguments.kinds)), only_given(image_count=arguments.images)
    where, shared = (predictor, dataset, arguments.split), {"on_image": live, **kinds, **count}
    if arguments.submission is not None:
        if kinds or count:
            raise UserError("a submission holds the label ids of every frame; leave --kinds and --images away")
        written = predict_submission(*where, arguments.submission, on_image=live)
        return f"wrote {written}: one label map a frame, checked by the rules of the official script"
    if arguments.sheet is not None:
        return f"wrote {predict_sheet(*where, arguments.sheet, **shared)}"
    files = predict_split(*where, arguments.output, on_fault=faults.append, **shared)
    return _wrote(files, arguments.output)


def _wrote(files: list[Path], output: str) -> str:
    return f"wrote {counted(len(files), 'file')} to {output}"
