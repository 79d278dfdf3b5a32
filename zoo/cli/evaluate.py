"""`zoo eval`."""

from __future__ import annotations

import argparse
import sys

from zoo.cli.flags import (
    CACHE,
    DATA,
    DEVICE,
    INPUT_SIZE,
    RESULTS,
    RUNS,
    WEIGHTS,
    Verbs,
    add_verb,
    count,
    make_console,
    only_given,
    read_label_values,
    read_numbers,
    read_size,
    refuse,
    say_weights,
    warn,
)
from zoo.errors import UserError


def add(verbs: Verbs) -> None:
    """Add the verb and its flags."""
    parser = add_verb(verbs, "eval", run, "mIoU of a model, or of label maps another program wrote, at full size")
    parser.add_argument("model", nargs="?", metavar="MODEL", help="see `zoo list`; or one of your own")
    parser.add_argument("--weights", "--checkpoint", **WEIGHTS)
    parser.add_argument("--predictions", metavar="DIR", help="folder of label PNGs to score instead of a model")
    parser.add_argument(
        "--encoding",
        choices=("auto", "labelIds", "trainIds", "trainIds+1", "colors"),
        help="of --predictions (default: auto); trainIds+1: 0 is none of the classes",
    )
    parser.add_argument("--void", action="append", metavar="N,…", help="values of --predictions that mean no class")
    parser.add_argument("--data", **DATA)
    parser.add_argument("--cache", **CACHE)
    parser.add_argument("--split", default="val", metavar="NAME", help="which frames are scored (default: val)")
    parser.add_argument("--input-size", **INPUT_SIZE)
    parser.add_argument("--window", metavar="HxW", help="slide a window of this size over the frame")
    parser.add_argument("--stride", metavar="HxW", help="its step (default: two thirds of it)")
    parser.add_argument("--scales", metavar="S,…", help="times the input size, averaged, such as 0.75,1,1.25")
    parser.add_argument("--flip", action="store_true", help="average with the mirrored frame")
    parser.add_argument("--workers", type=count, metavar="N", help="with --predictions (default: one per core)")
    parser.add_argument("--precision", choices=("fp32", "tf32", "bf16", "fp16"), help="default: fp32")
    parser.add_argument("--device", **DEVICE)
    parser.add_argument("--runs", **RUNS)
    parser.add_argument("--record", action="store_true", help="keep the score among the records, without speed")
    parser.add_argument("--results", **RESULTS)
    parser.add_argument("--format", choices=("table", "json", "md"), default="table")


def run(arguments: argparse.Namespace) -> int:
    """Run it and return its exit code."""
    if (arguments.model is None) == (arguments.predictions is None):
        raise UserError("zoo eval takes a MODEL (and --weights), or --predictions DIR; give one of the two")
    if arguments.predictions is None:
        refuse(arguments, ("encoding", "void", "workers"), "only --predictions are files to be decoded")
    else:
        flags = ("weights", "input_size", "window", "stride", "scales", "flip", "precision", "device", "runs", "record")
        refuse(arguments, flags, "--predictions are scored as they are")
    from zoo.counting import accuracy_record
    from zoo.data.layout import open_dataset
    from zoo.report.accuracy import show_accuracy
    from zoo.report.progress import LiveImages

    dataset = open_dataset(arguments.data, cache=arguments.cache)
    if arguments.predictions is not None:
        from zoo.label_maps import evaluate_predictions

        with LiveImages(make_console(stderr=True), "scoring") as live:
            result = evaluate_predictions(
                arguments.predictions,
                dataset,
                arguments.split,
                **only_given(encoding=arguments.encoding, void=read_label_values(arguments.void)),
                workers=arguments.workers,
                on_image=live,
            )
    else:
        from zoo.evaluate import evaluate_model
        from zoo.modes import evaluation_mode

        with LiveImages(make_console(stderr=True), arguments.model) as live:
            result = evaluate_model(
                arguments.model,
                dataset,
                arguments.split,
                input_size=read_size(arguments.input_size),
                mode=evaluation_mode(
                    window=read_size(arguments.window),
                    stride=read_size(arguments.stride),
                    flip=arguments.flip,
                    **only_given(scales=read_numbers(arguments.scales)),
                ),
                runs=arguments.runs,
                cache=arguments.cache,
                on_source=lambda source: say_weights(arguments.model, source),
                on_image=live,
                **only_given(weights=arguments.weights, device=arguments.device, precision=arguments.precision),
            )
    warn(result.warnings)
    accuracy = accuracy_record(result, dataset, arguments.split)
    print(show_accuracy(accuracy, arguments.format, network=result.network, reading=result.reading), end="")
    if arguments.record:
        from zoo.evaluate import keep_record

        device = only_given(device=arguments.device)
        kept = keep_record(result, dataset, arguments.split, name=arguments.model, results=arguments.results, **device)
        print(f"kept {kept}", file=sys.stderr)
    return 0
