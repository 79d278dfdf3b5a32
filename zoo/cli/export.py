"""`zoo export`."""

from __future__ import annotations

import argparse
import sys

from zoo.advice import carried
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
    read_size,
    say_weights,
)
from zoo.errors import UserError


def add(verbs: Verbs) -> None:
    """Add the verb and its flags."""
    parser = add_verb(verbs, "export", run, "write a model as the file that ships, with a card and how to load it")
    parser.add_argument("model", metavar="MODEL", help="see `zoo list`; or one of your own")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="such as unet.onnx or unet.pt2")
    parser.add_argument("--runtime", default="onnxruntime", metavar="R", help="onnxruntime, openvino, tensorrt or aoti")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "tf32", "bf16", "fp16", "int8"))
    parser.add_argument("--weights", "--checkpoint", **WEIGHTS)
    parser.add_argument("--random", action="store_true", help="the same as --weights random: for speed alone")
    parser.add_argument("--data", **DATA)
    parser.add_argument("--cache", **CACHE)
    parser.add_argument("--image-size", metavar="HxW", help="size of the frames (default: the dataset's)")
    parser.add_argument("--input-size", **INPUT_SIZE)
    parser.add_argument("--resize", choices=("fit", "stretch", "none"), help="how a frame is brought to the input size")
    parser.add_argument("--batch", type=count, default=1, metavar="N", help="images a call (default: 1)")
    parser.add_argument("--dynamic", action="store_true", help="take frames of any size (onnxruntime, openvino)")
    parser.add_argument("--opset", type=count, metavar="N", help="of an ONNX file (default: 20)")
    parser.add_argument(
        "--require",
        metavar="WHAT:VALUE,…",
        help="write no file that loses more against fp32 eager on the val split of --data (then exit code 1): "
        "class-loss:2 (points of IoU of any class with 0.5%% of the pixels), class-loss.CLASS:1, miou-lost:1, miou:60, "
        "equal:99.9 (%% of the labels)",
    )
    parser.add_argument("--device", default="cpu", **DEVICE)
    parser.add_argument("--runs", **RUNS)
    parser.add_argument("--results", **RESULTS)


def run(arguments: argparse.Namespace) -> int:
    """Run it and return its exit code."""
    if arguments.random and arguments.weights not in (None, "random"):
        raise UserError(f"--random and --weights {arguments.weights} name two sorts of weights; give one of the two")
    from zoo.export import RequirementError, export_model
    from zoo.report.progress import LiveImages

    console = make_console(stderr=True)
    try:
        with LiveImages(console, arguments.model) as live:
            exported = export_model(
                arguments.model,
                arguments.output,
                runtime=arguments.runtime,
                precision=arguments.precision,
                data=arguments.data,
                image_size=read_size(arguments.image_size),
                input_size=read_size(arguments.input_size),
                resize=arguments.resize,
                batch_size=arguments.batch,
                opset=arguments.opset,
                any_size=arguments.dynamic,
                device=arguments.device,
                runs=arguments.runs,
                cache=arguments.cache,
                results=arguments.results,
                require=arguments.require,
                tell=lambda line: console.print(carried(line), markup=False, highlight=False),
                on_image=live,
                **only_given(weights="random" if arguments.random else arguments.weights),
            )
    except RequirementError as error:
        print(f"zoo: {carried(str(error))}", file=sys.stderr)
        return 1
    say_weights(arguments.model, exported.source)
    print(f"wrote {exported.file} ({exported.card.bytes / 2**20:.1f} MiB) and {exported.card_file}")
    for note in exported.notes:
        print(carried(note))
    print(f"\nto run it without zoo:\n\n{exported.snippet}", end="")
    return 0
