"""The command line: every verb parses, makes one call, prints. The only file that imports inside functions."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import __version__
from zoo.errors import UserError
from zoo.flags import Parser, add_conditions, count

if TYPE_CHECKING:
    from rich.console import Console

    from zoo.config import BenchConfig
    from zoo.spec import Size

EPILOG = """\
examples:
  zoo list --tag core                       the models, and what each is
  zoo bench --models all                    measure every model on this machine (synthetic streets, a smoke test)
  zoo bench --models core --data DIR --preset camvid
  zoo leaderboard                           the tables of everything measured
  zoo pick --max-latency 50ms --max-memory 2GiB

exit codes: 0 done; 1 nothing qualifies (pick), a file is out of date (--check), a dataset has errors (doctor), a
repeated run gave other weights (train --repeat), or some images could not be predicted (predict); 2 a mistake in what
was asked for; 3 some cell of a sweep, or a side of a pair, failed; 130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that lacks a character shows another
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.verb(arguments)
        sys.stdout.flush()
    except UserError as error:
        print(f"zoo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nzoo: interrupted; everything finished is kept", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    class Piped(Console):
        """Leaves a reader that has gone to `main`, as `print` does."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return Piped(highlight=False, stderr=stderr)


def _list(arguments: argparse.Namespace) -> int:
    from zoo.catalog import select
    from zoo.report.models import show_models

    print(show_models(select(arguments.patterns or ["all"], tag=arguments.tag), arguments.format))
    return 0


def _train(arguments: argparse.Namespace) -> int:
    from zoo.config import TrainConfig, load_config
    from zoo.train.distributed import is_first_process
    from zoo.train.live import LiveTraining
    from zoo.train.loop import train_model
    from zoo.train.repeat import repeat_run
    from zoo.train.run import read_run
    from zoo.units import parse_duration

    if (arguments.model is None) == (arguments.repeat is None):
        raise UserError("zoo train takes a MODEL, or --repeat RUN; give one of the two")
    changes = _changes(
        arguments.set, steps=arguments.steps, pretrained=arguments.pretrained or None, seed=arguments.seed
    )
    if arguments.repeat is None:
        name, config = arguments.model, load_config(TrainConfig, arguments.config, changes)
    elif arguments.config or changes:
        raise UserError("--repeat trains by the recipe of the run it names; leave --config and changes away")
    else:
        before = read_run(arguments.repeat)
        name, config = before.model, before.config

    console = _console()
    console.quiet = not is_first_process()
    with LiveTraining(console, name, config.steps) as live:
        shared: dict[str, Any] = {
            "data": arguments.data,
            "runs": arguments.runs,
            "cache": arguments.cache,
            "device": arguments.device,
            "resume": not arguments.fresh,
            "time_limit_s": parse_duration(arguments.time_limit) if arguments.time_limit else None,
            "on_step": live,
            "on_frame": live.prepared,
            "on_validation": live.validated,
        }
        repeated = repeat_run(arguments.repeat, **shared) if arguments.repeat else None
        trained = repeated.trained if repeated else train_model(name, config, **shared)
    if not is_first_process():
        return 0
    if not trained.complete:
        print(f"the time limit was reached at step {trained.step_count} of {config.steps}; the same command goes on")
    if trained.miou is not None:
        kind = " (synthetic: drawn streets, not real ones)" if trained.synthetic else ""
        print(f"mIoU on val, full size: {100 * trained.miou:.1f} %{kind}")
    if repeated and trained.complete:
        before_said = "n/a" if repeated.miou_before is None else f"{100 * repeated.miou_before:.1f} %"
        same = "the same, bit for bit" if repeated.same_weights else "not the same"
        print(f"the run before: mIoU {before_said}; its last weights are {same}")
        _warn([f"not as before: {difference}" for difference in repeated.differences])
    _warn(trained.warnings)
    print(trained.best)
    return 1 if repeated and trained.complete and not repeated.same_weights else 0


def _eval(arguments: argparse.Namespace) -> int:
    if (arguments.model is None) == (arguments.predictions is None):
        raise UserError("zoo eval takes a MODEL (and --checkpoint FILE), or --predictions DIR; give one of the two")
    if arguments.predictions is None:
        _refuse(arguments, ("encoding", "void", "workers"), "only --predictions are files to be decoded")
    else:
        flags = ("checkpoint", "input_size", "window", "stride", "scales", "flip", "precision", "device", "runs")
        _refuse(arguments, flags, "--predictions are scored as they are")
    from zoo.data.layout import open_dataset
    from zoo.evaluate import accuracy_record
    from zoo.report.accuracy import show_accuracy
    from zoo.report.progress import LiveImages

    dataset = open_dataset(arguments.data, cache=arguments.cache)
    if arguments.predictions is not None:
        from zoo.evaluate import evaluate_predictions

        with LiveImages(_console(stderr=True), "scoring") as live:
            result = evaluate_predictions(
                arguments.predictions,
                dataset,
                arguments.split,
                **_given(encoding=arguments.encoding, void=_label_values(arguments.void)),
                workers=arguments.workers,
                on_image=live,
            )
    else:
        from zoo.modes import evaluation_mode
        from zoo.train.validate import evaluate_model

        with LiveImages(_console(stderr=True), arguments.model) as live:
            result = evaluate_model(
                arguments.model,
                dataset,
                arguments.split,
                checkpoint=arguments.checkpoint,
                input_size=_size(arguments.input_size),
                mode=evaluation_mode(
                    window=_size(arguments.window),
                    stride=_size(arguments.stride),
                    flip=arguments.flip,
                    **_given(scales=_numbers(arguments.scales)),
                ),
                runs=arguments.runs,
                on_image=live,
                **_given(device=arguments.device, precision=arguments.precision),
            )
    _warn(result.warnings)
    accuracy = accuracy_record(result, dataset, arguments.split)
    print(show_accuracy(accuracy, arguments.format, network=result.network, reading=result.reading), end="")
    return 0


def _predict(arguments: argparse.Namespace) -> int:
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
        _refuse(arguments, ("rate",), "a rate is that of a video")
    from zoo.config import parse_rate
    from zoo.data.layout import open_dataset
    from zoo.predict.pictures import predict_images, predict_split
    from zoo.predict.predictor import load_predictor
    from zoo.predict.sheet import predict_sheet
    from zoo.predict.submission import predict_submission
    from zoo.report.progress import LiveImages

    rate = parse_rate(arguments.rate) if arguments.rate else None
    dataset = open_dataset(arguments.data, cache=arguments.cache)
    predictor = load_predictor(
        arguments.model,
        dataset,
        checkpoint=arguments.checkpoint,
        input_size=_size(arguments.input_size),
        device=arguments.device,
        precision=arguments.precision,
        runs=arguments.runs,
    )
    kinds, count = _given(kinds=_words(arguments.kinds)), _given(image_count=arguments.images)
    faults: list[UserError] = []
    with LiveImages(_console(stderr=True), arguments.model) as live:
        if arguments.submission is not None:
            if kinds or count:
                raise UserError("a submission holds the label ids of every frame; leave --kinds and --images away")
            written = predict_submission(predictor, dataset, arguments.split, arguments.submission, on_image=live)
            lines = [f"wrote {written}: one label map a frame, checked by the rules of the official script"]
        elif arguments.sheet is not None:
            sheet = predict_sheet(predictor, dataset, arguments.split, arguments.sheet, on_image=live, **kinds, **count)
            lines = [f"wrote {sheet}"]
        else:
            shared: dict[str, Any] = {"on_image": live, "on_fault": faults.append, **kinds}
            if arguments.split is not None:
                files = predict_split(predictor, dataset, arguments.split, arguments.output, **shared, **count)
            else:
                if count:
                    raise UserError("--images counts frames of a --split; leave it away")
                files = predict_images(predictor, arguments.image, arguments.output, rate=rate, **shared)
            few = len(files) <= 4 and arguments.split is None
            lines = [f"wrote {file}" for file in files] if few else [f"wrote {len(files)} files to {arguments.output}"]
    print("\n".join(lines))
    _warn([str(fault) for fault in faults])
    return 1 if faults else 0


def _doctor(arguments: argparse.Namespace) -> int:
    from zoo.doctor import examine
    from zoo.report.doctor import show_report
    from zoo.report.progress import LiveImages

    with LiveImages(_console(stderr=True), "looking at frames") as live:
        report = examine(arguments.data, full=arguments.full, cache=arguments.cache, on_image=live)
    print(show_report(report, arguments.format), end="")
    return 0 if report.healthy else 1


def _bench(arguments: argparse.Namespace) -> int:
    from zoo.config import BenchConfig, load_config
    from zoo.units import parse_size

    changes = _changes(
        arguments.set,
        models=_words(arguments.models),
        input_sizes=[parse_size(size) for size in _words(arguments.input_size) or []] or None,
        batch_size=arguments.batch,
        runtimes=_words(arguments.runtimes),
        precisions=_words(arguments.precision),
        accuracy_images=arguments.accuracy_images,
        throughput=arguments.throughput or None,
        seeds=arguments.seeds,
        device=arguments.device,
        threads=arguments.threads,
    )
    config = load_config(BenchConfig, arguments.preset, changes)
    if arguments.pair:
        return _pair(arguments, config)

    from zoo.bench.live import Live
    from zoo.bench.sweep import run_bench
    from zoo.foreign import Feed

    feed = Feed(
        **_given(
            mean=_triple(arguments.mean),
            std=_triple(arguments.std),
            classes=arguments.classes,
            output=arguments.output,
        )
    )
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # a plain kill ends a sweep as Ctrl-C does
    try:
        with Live(_console()) as live:
            sweep = run_bench(
                config,
                data=arguments.data,
                results=arguments.results,
                runs=arguments.runs,
                cache=arguments.cache,
                checkpoints=arguments.checkpoint,
                rerun=arguments.rerun,
                artifact=arguments.artifact,
                trust=arguments.trust,
                feed=feed,
                on_event=live,
            )
    finally:
        signal.signal(signal.SIGTERM, before)

    from zoo.report.board import make_board
    from zoo.report.leaderboard import leaderboard, render
    from zoo.report.output import write
    from zoo.score.reading import rows_of

    print(render(make_board(rows_of((*sweep.finished, *sweep.records)))))
    print(
        f"cells measured: {len(sweep.records)}, finished before: {len(sweep.finished)}; "
        f"{sweep.seconds / 60:.1f} min; records: {arguments.results}"
    )
    everything = leaderboard(arguments.results)
    _warn(everything.warnings)
    try:
        print(f"every table: {write(everything, Path(arguments.results) / 'leaderboard.md')[0]}")
    except UserError as error:  # the records are safe: a page somebody else wrote is no reason to fail
        _warn([str(error)])
    return sweep.exit_code


def _pair(arguments: argparse.Namespace, config: BenchConfig) -> int:
    flags = (
        "models",
        "artifact",
        "rerun",
        "throughput",
        "accuracy_images",
        "seeds",
        "mean",
        "std",
        "classes",
        "output",
    )
    _refuse(arguments, flags, "--pair times the two it names and nothing else")

    from zoo.bench.live import Live
    from zoo.bench.pair import PairError, run_pair
    from zoo.report.pair import show_pair

    try:
        with Live(_console()) as live:
            pair = run_pair(
                config,
                *arguments.pair,
                data=arguments.data,
                runs=arguments.runs,
                cache=arguments.cache,
                checkpoints=arguments.checkpoint,
                on_event=live,
            )
    except PairError as error:
        print(f"zoo: {error}", file=sys.stderr)
        return 3
    print(show_pair(pair), end="")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from zoo.export import export_model

    exported = export_model(
        arguments.model,
        arguments.output,
        runtime=arguments.runtime,
        precision=arguments.precision,
        data=arguments.data,
        checkpoint=arguments.checkpoint,
        random_weights=arguments.random,
        image_size=_size(arguments.image_size),
        input_size=_size(arguments.input_size),
        resize=arguments.resize,
        batch_size=arguments.batch,
        opset=arguments.opset,
        any_size=arguments.dynamic,
        device=arguments.device,
        runs=arguments.runs,
        cache=arguments.cache,
        results=arguments.results,
    )
    print(f"wrote {exported.file} ({exported.card.bytes / 2**20:.1f} MiB) and {exported.card_file}")
    for note in exported.notes:
        print(note)
    print(f"\nto run it without zoo:\n\n{exported.snippet}", end="")
    return 0


def _leaderboard(arguments: argparse.Namespace) -> int:
    from zoo.report.leaderboard import leaderboard, render

    if arguments.check and arguments.output is None:
        raise UserError("--check compares a file with the records: name it with --output FILE")
    board = leaderboard(arguments.results, sort=arguments.sort, **_conditions(arguments))
    _warn(board.warnings)
    if arguments.output is None:
        print(render(board, arguments.format or "table"), end="")
        return 0

    from zoo.report.output import stale, write

    if arguments.check:
        lines = stale(board, arguments.output, arguments.format)
        print("\n".join(lines) or f"{arguments.output} says what the records say")
        return 1 if lines else 0
    for path in write(board, arguments.output, arguments.format):
        print(f"wrote {path}")
    return 0


def _pick(arguments: argparse.Namespace) -> int:
    from zoo.picker import parse_latency, pick
    from zoo.report.choice import show_choice
    from zoo.units import parse_bytes, parse_count, parse_share

    latency, max_latency_s = parse_latency(arguments.max_latency) if arguments.max_latency else (None, None)
    choice = pick(
        arguments.results,
        max_latency_s=max_latency_s,
        **_given(latency=latency),
        max_memory_bytes=parse_bytes(arguments.max_memory) if arguments.max_memory else None,
        max_param_count=parse_count(arguments.max_params) if arguments.max_params else None,
        min_miou=parse_share(arguments.min_miou) if arguments.min_miou else None,
        objective=arguments.objective,
        **_conditions(arguments),
    )
    _warn(choice.warnings)
    print(show_choice(choice, arguments.format, explain=arguments.explain), end="")
    return 0 if choice.winner is not None else 1


def _compare(arguments: argparse.Namespace) -> int:
    from zoo.report.compare import compare, show_comparison

    comparison = compare(arguments.a, arguments.b, arguments.results)
    _warn(comparison.warnings)
    print(show_comparison(comparison, arguments.format), end="")
    return 0


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        print(f"zoo: {warning}", file=sys.stderr)


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
    with LiveImages(_console(stderr=True), "preparing train") as live:
        prepared = prepare(dataset, "train", cache=arguments.cache, on_frame=live)
    print(f"{len(dataset.frames('train'))} frames of train are prepared in {prepared.folder}")
    return 0


def _import(arguments: argparse.Namespace) -> int:
    from zoo.data.importers.writing import import_dataset
    from zoo.report.progress import LiveImages

    with LiveImages(_console(stderr=True), "importing") as live:
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


def _convert(arguments: argparse.Namespace) -> int:
    from zoo.data.convert import convert_folder
    from zoo.report.progress import LiveImages

    with LiveImages(_console(stderr=True), "converting") as live:
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


def _cache(arguments: argparse.Namespace) -> int:
    from zoo.cache import choose, clear, entries
    from zoo.data.layout import cache_folder
    from zoo.report.cache import say_size, show_entries
    from zoo.units import parse_bytes, parse_duration

    root = arguments.cache or cache_folder()
    found = entries(root)
    asked = _given(
        kinds=arguments.kind,
        older_than_s=parse_duration(arguments.older_than) if arguments.older_than else None,
        larger_than_bytes=parse_bytes(arguments.larger_than) if arguments.larger_than else None,
        to_bytes=parse_bytes(arguments.to) if arguments.to else None,
    )
    shown = choose(found, **asked) if asked or arguments.clear else found
    if arguments.clear:
        shown = clear(shown)
    print(show_entries(shown, arguments.format), end="")
    if arguments.format == "table":
        said = "removed " if arguments.clear else "--clear would remove " if asked else ""
        whole = f" of {say_size(found)}" if said else ""
        print(f"{said}{say_size(shown)}{whole} in {root}")
    return 0


def _given(**values: Any) -> dict[str, Any]:
    """Keep the flags that were given."""
    return {key: value for key, value in values.items() if value is not None}


def _changes(pairs: list[str], **flags: Any) -> dict[str, Any]:
    """What `--set` and the flags that stand for a key ask for."""
    from zoo.config import parse_set

    changes, given = parse_set(pairs), _given(**flags)
    for key in given.keys() & changes.keys():
        raise UserError(f"{key} is given by its own flag and by --set {key}; give it once")
    return changes | given


def _refuse(arguments: argparse.Namespace, flags: Sequence[str], why: str) -> None:
    """Refuse flags that would be ignored."""
    for flag in flags:
        value = getattr(arguments, flag)
        if value is not None and value is not False:
            raise UserError(f"{why}; leave --{flag.replace('_', '-')} away")


def _size(text: str | None) -> Size | None:
    """Read `HxW` where it was given."""
    from zoo.units import parse_size

    return parse_size(text) if text else None


def _conditions(arguments: argparse.Namespace) -> dict[str, Any]:
    """Which rows of the records are meant; a flag that is repeated or holds commas means any of its values."""
    from zoo.config import parse_pairs
    from zoo.score.filtering import FLAGS
    from zoo.units import parse_size

    found: dict[str, Any] = {"models": _words(arguments.models) or []}
    for field, flag in FLAGS.items():
        found[field] = _words(getattr(arguments, flag.removeprefix("--").replace("-", "_")))
    if found["input_size"]:
        found["input_size"] = [parse_size(size) for size in found["input_size"]]
    found["quick"] = ["no"] if arguments.no_quick else None
    for field, value in parse_pairs("--where", arguments.where).items():
        if found.get(field) is not None:
            raise UserError(f"{field} is asked for by its own flag and by --where; give it once")
        found[field] = _words([value])
    return found


def _words(values: Sequence[str] | None) -> list[str] | None:
    """Flatten repeated and comma-separated values."""
    return None if values is None else [word for value in values for word in value.split(",") if word]


def _numbers(text: str | None) -> list[float] | None:
    """Read `0.75,1,1.25` where it was given."""
    try:
        return None if text is None else [float(number) for number in text.split(",")]
    except ValueError:
        raise UserError(f"numbers are separated by commas, such as 0.75,1,1.25; got {text!r}") from None


def _label_values(values: Sequence[str] | None) -> list[int] | None:
    """Read `19,255` where it was given."""
    words = [word.strip() for word in _words(values) or []]
    if not all(word.isdecimal() for word in words):
        raise UserError(f"--void takes values of label maps, such as 19 or 19,255; got {','.join(words)!r}")
    return [int(word) for word in words] or None


def _triple(text: str | None) -> tuple[float, ...] | None:
    """Read `R,G,B` where it was given."""
    numbers = _numbers(text)
    if numbers is not None and len(numbers) != 3:
        raise UserError(f"three numbers for red, green and blue, such as 0.485,0.456,0.406; got {text!r}")
    return None if numbers is None else tuple(numbers)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="zoo",
        description="Which semantic-segmentation model should I deploy on my hardware, and can I trust the answer?",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"zoo {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    def verb(name: str, call: Any, text: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=text, description=text, allow_abbrev=False)
        added.set_defaults(verb=call)
        return added

    data: dict[str, Any] = {
        "metavar": "DIR",
        "help": "Cityscapes layout (default: CITYSCAPES_DATASET, else synthetic streets)",
    }
    results: dict[str, Any] = {
        "metavar": "DIR",
        "default": "results",
        "help": "folder of the records (default: results)",
    }
    cache: dict[str, Any] = {
        "metavar": "DIR",
        "type": Path,
        "help": "for drawn data and built artifacts (default: ZOO_CACHE, else the user's cache)",
    }
    runs: dict[str, Any] = {"metavar": "DIR", "help": "folder of training runs (default: ZOO_RUNS, else runs)"}
    size: dict[str, Any] = {
        "metavar": "HxW",
        "help": "what the network sees, such as 512x1024 (default: the frame's size)",
    }
    device: dict[str, Any] = {"metavar": "D", "help": "auto, cpu, cuda, cuda:0 or mps"}
    tables = ("table", "json", "csv", "md")

    listing = verb("list", _list, "the models of the zoo")
    listing.add_argument("patterns", nargs="*", metavar="PATTERN", help="names, globs such as 'deeplab*', or tags")
    listing.add_argument("--tag", help="core, mobile or transformer")
    listing.add_argument("--format", choices=tables, default="table")

    train = verb("train", _train, "train one model")
    train.add_argument(
        "model", nargs="?", metavar="MODEL", help="see `zoo list`; or decoder:timm/encoder, or net.py:build"
    )
    train.add_argument("--data", **data)
    train.add_argument("--cache", **cache)
    train.add_argument("--config", metavar="FILE", help="a train preset or a TOML file")
    train.add_argument("--steps", type=count, metavar="N")
    train.add_argument("--pretrained", action="store_true", help="begin from the encoder's published weights")
    train.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one key of the recipe")
    train.add_argument("--device", default="auto", **device)
    train.add_argument("--runs", **runs)
    train.add_argument("--seed", type=count, metavar="N")
    train.add_argument("--time-limit", metavar="T", help="such as 2h30m: stop cleanly then; the same command goes on")
    train.add_argument("--repeat", type=Path, metavar="RUN", help="train a finished run's folder again, and compare")
    train.add_argument("--fresh", action="store_true", help="begin anew instead of resuming an interrupted run")

    evaluate = verb("eval", _eval, "mIoU of a model, or of label maps another program wrote, at full size")
    evaluate.add_argument("model", nargs="?", metavar="MODEL")
    evaluate.add_argument("--checkpoint", metavar="FILE", help="weights (default: those of its finished run)")
    evaluate.add_argument("--predictions", metavar="DIR", help="folder of label PNGs to score instead of a model")
    evaluate.add_argument(
        "--encoding",
        choices=("auto", "labelIds", "trainIds", "trainIds+1", "colors"),
        help="of --predictions (default: auto); trainIds+1: 0 is none of the classes",
    )
    evaluate.add_argument("--void", action="append", metavar="N,…", help="values of --predictions that mean no class")
    evaluate.add_argument("--data", **data)
    evaluate.add_argument("--cache", **cache)
    evaluate.add_argument("--split", default="val")
    evaluate.add_argument("--input-size", **size)
    evaluate.add_argument("--window", metavar="HxW", help="slide a window of this size over the frame")
    evaluate.add_argument("--stride", metavar="HxW", help="its step (default: two thirds of it)")
    evaluate.add_argument("--scales", metavar="S,…", help="times the input size, averaged, such as 0.75,1,1.25")
    evaluate.add_argument("--flip", action="store_true", help="average with the mirrored frame")
    evaluate.add_argument("--workers", type=count, metavar="N", help="with --predictions (default: one per core)")
    evaluate.add_argument("--precision", choices=("fp32", "tf32", "bf16", "fp16"), help="default: fp32")
    evaluate.add_argument("--device", **device)
    evaluate.add_argument("--runs", **runs)
    evaluate.add_argument("--format", choices=("table", "json", "md"), default="table")

    predict = verb("predict", _predict, "pictures of what a trained model sees, or a submission to Cityscapes")
    predict.add_argument("model", metavar="MODEL")
    predict.add_argument("image", nargs="?", metavar="IMAGE|DIR", help="a photograph or video, or a folder of them")
    predict.add_argument("-o", "--output", metavar="DIR", help="one folder per kind of picture is written here")
    predict.add_argument(
        "--kinds",
        action="append",
        metavar="K,…",
        help="overlay, color, labelIds, confidence (default: all); of a sheet: image, truth, color (default), …",
    )
    predict.add_argument(
        "--rate", metavar="R", help="frames per second of the video that is written (default: its own)"
    )
    predict.add_argument("--split", metavar="NAME", help="frames of the dataset, such as val, in place of images")
    predict.add_argument("--images", type=count, metavar="N", help="this many of the split, spread over it")
    predict.add_argument("--sheet", metavar="FILE", help="frames of a split side by side as one picture")
    predict.add_argument("--submission", metavar="FILE.zip", help="label ids of the whole split for Cityscapes' server")
    predict.add_argument("--checkpoint", metavar="FILE", help="weights (default: those of its finished run)")
    predict.add_argument("--data", **data)
    predict.add_argument("--cache", **cache)
    predict.add_argument("--input-size", **size)
    predict.add_argument("--precision", choices=("fp32", "tf32", "bf16", "fp16"), default="fp32")
    predict.add_argument("--device", default="auto", **device)
    predict.add_argument("--runs", **runs)

    bench = verb("bench", _bench, "measure models: mIoU, latency, memory, parameters, multiply-accumulates")
    bench.add_argument("--models", action="append", metavar="M,…", help="names, globs, tags, all, or your own")
    bench.add_argument("--data", **data)
    bench.add_argument("--cache", **cache)
    bench.add_argument("--preset", default="quick", metavar="NAME|FILE", help="quick, camvid, cityscapes, latency")
    bench.add_argument("--checkpoint", action="append", default=[], metavar="MODEL=FILE", help="weights to measure")
    bench.add_argument("--input-size", action="append", metavar="HxW,…", help="what the network sees, a row each")
    bench.add_argument("--batch", type=count, metavar="N")
    runtimes = "eager (default), compile, aoti, onnxruntime, openvino, tensorrt; or installed"
    bench.add_argument("--runtimes", action="append", metavar="R,…", help=runtimes)
    bench.add_argument("--precision", action="append", metavar="P,…", help="fp32 (default), tf32, bf16, fp16, int8")
    bench.add_argument(
        "--accuracy-images", type=count, metavar="N", help="count mIoU on N images, spread over the split"
    )
    bench.add_argument(
        "--throughput", action="store_true", help="the offline scenario too: images/s as the batch grows"
    )
    bench.add_argument(
        "--seeds", type=count, metavar="N", help="train each model with N seeds: one row, mean and spread"
    )
    bench.add_argument("--artifact", metavar="FILE", help="measure an exported .onnx or .pt2 file in place of models")
    bench.add_argument(
        "--pair",
        nargs=2,
        metavar=("A", "B"),
        help="time two in turn: faster, slower or tie; each is MODEL[,runtime=R][,precision=P][,input_size=HxW]",
    )
    bench.add_argument(
        "--mean", metavar="R,G,B", help="of an --artifact that takes floats: what to subtract, 0 to 1 or 255"
    )
    bench.add_argument("--std", metavar="R,G,B", help="and what to divide by")
    bench.add_argument("--classes", metavar="A,B,…|FILE", help="its classes in the channels' order; or cityscapes")
    bench.add_argument("--output", metavar="NAME", help="which of its outputs is the answer")
    bench.add_argument("--trust", action="store_true", help="run a .pt2, which is native code")
    bench.add_argument("--device", **device)
    bench.add_argument("--threads", type=count, metavar="N", help="CPU threads (default: one per core)")
    bench.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one key of the preset")
    bench.add_argument("--results", **results)
    bench.add_argument("--runs", **runs)
    bench.add_argument("--rerun", action="store_true", help="measure finished cells again")

    export = verb("export", _export, "write a model as the file that ships, with a card and how to load it")
    export.add_argument("model", metavar="MODEL")
    export.add_argument("-o", "--output", required=True, metavar="FILE", help="such as unet.onnx or unet.pt2")
    export.add_argument("--runtime", default="onnxruntime", metavar="R", help="onnxruntime, openvino, tensorrt or aoti")
    export.add_argument("--precision", default="fp32", choices=("fp32", "tf32", "bf16", "fp16", "int8"))
    export.add_argument("--checkpoint", metavar="FILE", help="weights (default: those of its finished run)")
    export.add_argument("--random", action="store_true", help="random weights, for speed alone")
    export.add_argument("--data", **data)
    export.add_argument("--cache", **cache)
    export.add_argument("--image-size", metavar="HxW", help="size of the frames (default: the dataset's)")
    export.add_argument("--input-size", **size)
    export.add_argument("--resize", choices=("fit", "stretch", "none"), default="fit")
    export.add_argument("--batch", type=count, default=1, metavar="N")
    export.add_argument("--dynamic", action="store_true", help="take frames of any size (onnxruntime, openvino)")
    export.add_argument("--opset", type=count, metavar="N", help="of an ONNX file (default: 20)")
    export.add_argument("--device", default="cpu", **device)
    export.add_argument("--runs", **runs)
    export.add_argument("--results", **results)

    board = verb("leaderboard", _leaderboard, "the tables of everything measured")
    board.add_argument("--results", **results)
    board.add_argument("--sort", default="miou", metavar="M", help="miou (default), latency, memory, … or a column")
    board.add_argument("--format", choices=tables, help="default: table, or FILE's ending")
    board.add_argument("--output", type=Path, metavar="FILE", help="write it, with an mIoU-over-latency plot beside it")
    board.add_argument("--check", action="store_true", help="exit 1 when FILE is not what the records say")
    add_conditions(board)

    pick = verb("pick", _pick, "one model, with its reason")
    pick.add_argument("--max-latency", metavar="T", help="such as 50ms or p99:50ms, from uint8 image to label map")
    pick.add_argument("--max-memory", metavar="SIZE", help="such as 500MiB, 2GB or 0.5G")
    pick.add_argument("--max-params", metavar="N", help="such as 10M or 1e7")
    pick.add_argument("--min-miou", metavar="X", help="a fraction, such as 0.6, or percent: 60%% or 60")
    pick.add_argument("--objective", default="miou", help="miou (default), latency, memory, params or macs")
    pick.add_argument("--results", **results)
    pick.add_argument("--format", choices=("table", "json"), default="table")
    pick.add_argument("--explain", action="store_true", help="why each of the others lost")
    add_conditions(pick)

    compare = verb("compare", _compare, "two measured models side by side")
    compare.add_argument("a", metavar="A", help="a model's name or a record's file")
    compare.add_argument("b", metavar="B")
    compare.add_argument("--results", **results)
    compare.add_argument("--format", choices=("table", "json"), default="table")

    doctor = verb("doctor", _doctor, "look a dataset over: what is missing, wrong, damaged or twice there")
    doctor.add_argument("--data", **data)
    doctor.add_argument("--cache", **cache)
    doctor.add_argument("--full", action="store_true", help="decode every file, and search for near-duplicates")
    doctor.add_argument("--format", choices=("table", "json"), default="table")

    caching = verb("cache", _cache, "what zoo can make again: list it, or clear what is old, large or of a kind")
    caching.add_argument("--cache", **cache)
    caching.add_argument("--kind", action="append", choices=("streets", "prepared", "built", "kernels"))
    caching.add_argument("--older-than", metavar="T", help="not used for so long, such as 30d")
    caching.add_argument("--larger-than", metavar="SIZE", help="such as 1GiB")
    caching.add_argument("--to", metavar="SIZE", help="only until it is no larger than this, longest unused first")
    caching.add_argument("--clear", action="store_true", help="remove what is listed; what is in use stays")
    caching.add_argument("--format", choices=("table", "json"), default="table")

    datasets = verb("data", None, "datasets").add_subparsers(title="actions", metavar="ACTION", required=True)
    synth = datasets.add_parser("synth", help="write synthetic streets in the Cityscapes layout")
    synth.set_defaults(verb=_synth)
    synth.add_argument("folder", metavar="DIR", type=Path)
    synth.add_argument("--size", default="256x512", metavar="HxW")
    synth.add_argument("--train", type=count, default=48, metavar="N")
    synth.add_argument("--val", type=count, default=16, metavar="N")
    synth.add_argument("--seed", type=count, default=0, metavar="N")
    prepare = datasets.add_parser("prepare", help="decode a dataset's train split once, for fast training")
    prepare.set_defaults(verb=_prepare)
    prepare.add_argument("--data", **data)
    prepare.add_argument("--cache", **cache)
    convert = datasets.add_parser(
        "convert", help="write a dataset or folder with plain files: 8-bit RGB images, single-channel 8-bit label maps"
    )
    convert.set_defaults(verb=_convert)
    convert.add_argument("source", metavar="SRC", type=Path)
    convert.add_argument("target", metavar="DST", type=Path)
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
    importing.add_argument("kind", choices=("camvid", "voc", "ade20k", "bdd100k", "vistas"))
    importing.add_argument("source", metavar="SRC", type=Path, help="its folder as it was unpacked, or one above")
    importing.add_argument("target", metavar="DST", type=Path)
    importing.add_argument(
        "--variant", metavar="V", help="camvid: official (splits); voc: plain (without SBD); vistas: v1.2 or v2.0"
    )
    importing.add_argument("--link", action="store_true", help="link images instead of copying, on the same disk")
    return parser


if __name__ == "__main__":
    sys.exit(main())
