"""`zoo data`."""

from __future__ import annotations

import argparse
from pathlib import Path

from zoo.cli.flags import CACHE, DATA, Verbs, add_verb, count, make_console
from zoo.errors import counted


def add(verbs: Verbs) -> None:
    """Add the verb and its flags."""
    parser = add_verb(verbs, "data", None, "datasets")
    datasets = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    synth = datasets.add_parser("synth", help="write synthetic streets in the Cityscapes layout")
    synth.set_defaults(verb=_synth)
    synth.add_argument("folder", metavar="DIR", type=Path, help="a new or empty one")
    synth.add_argument("--size", default="256x512", metavar="HxW", help="of a frame (default: 256x512)")
    synth.add_argument("--train", type=count, default=48, metavar="N", help="frames of train (default: 48)")
    synth.add_argument("--val", type=count, default=16, metavar="N", help="frames of val (default: 16)")
    synth.add_argument("--seed", type=count, default=0, metavar="N", help="another one draws others (default: 0)")
    prepare = datasets.add_parser("prepare", help="decode a dataset's train split once, for fast training")
    prepare.set_defaults(verb=_prepare)
    prepare.add_argument("--data", **DATA)
    prepare.add_argument("--cache", **CACHE)
    convert = datasets.add_parser(
        "convert", help="write a dataset or folder with plain files: 8-bit RGB images, single-channel 8-bit label maps"
    )
    convert.set_defaults(verb=_convert)
    convert.add_argument("source", metavar="SRC", type=Path, help="a dataset, or a folder of images")
    convert.add_argument("target", metavar="DST", type=Path, help="a new or empty folder")
    convert.add_argument("--labels", action="store_true", help="SRC is no dataset, but holds label maps")
    convert.add_argument("--classes", metavar="FILE", help="classes.toml with their colours (default: Cityscapes')")
    convert.add_argument(
        "--label-by",
        choices=("auto", "values", "colors"),
        default="auto",
        help="what palettes and RGB label maps mean (default: auto, what all of them can mean)",
    )
    convert.add_argument("--ignore-other-colors", action="store_true", help="a colour of no class counts nowhere")
    convert.add_argument("--bits", type=count, metavar="N", help="of 16 that the camera fills (default: by the images)")
    convert.add_argument(
        "--exif",
        choices=("auto", "turn", "ignore"),
        default="auto",
        help="turn pixels as EXIF says (default: auto, as the label map's size says)",
    )
    importing = datasets.add_parser("import", help="bring another dataset into the Cityscapes layout")
    importing.set_defaults(verb=_import)
    importing.add_argument("kind", choices=("camvid", "voc", "ade20k", "bdd100k", "vistas"), help="which one it is")
    importing.add_argument("source", metavar="SRC", type=Path, help="its folder as it was unpacked, or one above")
    importing.add_argument("target", metavar="DST", type=Path, help="a new or empty folder")
    importing.add_argument(
        "--variant", metavar="V", help="camvid: official (splits); voc: plain (without SBD); vistas: v1.2 or v2.0"
    )
    importing.add_argument("--link", action="store_true", help="link images instead of copying, on the same disk")


def _synth(arguments: argparse.Namespace) -> int:
    from zoo.data.synthetic import write_dataset
    from zoo.units import parse_size

    root = write_dataset(
        arguments.folder,
        image_size=parse_size(arguments.size),
        train_count=arguments.train,
        val_count=arguments.val,
        seed=arguments.seed,
    )
    print(f"wrote {arguments.train} train and {arguments.val} val synthetic frames: {root}")
    return 0


def _prepare(arguments: argparse.Namespace) -> int:
    from zoo.data.layout import open_dataset
    from zoo.data.prepared import prepare
    from zoo.report.progress import LiveImages

    dataset = open_dataset(arguments.data, cache=arguments.cache)
    with LiveImages(make_console(stderr=True), "preparing train") as live:
        prepared = prepare(dataset, "train", cache=arguments.cache, on_frame=live)
    print(f"prepared {counted(len(dataset.frames('train')), 'frame')} of train in {prepared.folder}")
    return 0


def _convert(arguments: argparse.Namespace) -> int:
    from zoo.data.convert import convert_folder
    from zoo.report.progress import LiveImages

    with LiveImages(make_console(stderr=True), "converting") as live:
        converted = convert_folder(
            arguments.source,
            arguments.target,
            labels=arguments.labels,
            classes=arguments.classes,
            label_by=arguments.label_by,
            ignore_other_colors=arguments.ignore_other_colors,
            bits=arguments.bits,
            exif=arguments.exif,
            on_file=live,
        )
    for line in converted.lines():
        print(line)
    print(f"wrote {converted.root}")
    return 0


def _import(arguments: argparse.Namespace) -> int:
    from zoo.data.importers.writing import import_dataset
    from zoo.report.progress import LiveImages

    with LiveImages(make_console(stderr=True), "importing") as live:
        imported = import_dataset(
            arguments.kind,
            arguments.source,
            arguments.target,
            variant=arguments.variant,
            link=arguments.link,
            on_frame=live,
        )
    print("\n".join(imported.said()))
    counts = ", ".join(f"{count} {split}" for split, count in imported.counts.items())
    print(f"wrote {counts} frames in the Cityscapes layout: {imported.root}")
    return 0
