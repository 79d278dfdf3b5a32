"""`zoo bench`."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.advice import carried
from zoo.cli.flags import (
    CACHE,
    DATA,
    DEVICE,
    FLEET,
    RESULTS,
    RUNS,
    WEIGHTS,
    Verbs,
    add_verb,
    count,
    make_console,
    only_given,
    read_changes,
    read_triple,
    read_words,
    refuse,
    require_fleet,
    warn,
)
from zoo.errors import UserError, counted, listed

if TYPE_CHECKING:
    from zoo.bench.request import Request
    from zoo.bench.sweep import Sweep
    from zoo.config import BenchConfig

PLANNED = (
    *("preset", "set", "input_size", "batch", "runtimes", "precision"),
    *("accuracy_images", "throughput", "rate", "seeds", "threads"),
)
"""Flags whose place a plan takes."""


def add(verbs: Verbs) -> None:
    """Add the verb and its flags."""
    parser = add_verb(verbs, "bench", run, "measure models: mIoU, latency, memory, parameters, multiply-accumulates")
    parser.add_argument("--models", action="append", metavar="M,…", help="names, globs, tags, all, or your own")
    parser.add_argument("--data", **DATA)
    parser.add_argument("--cache", **CACHE)
    parser.add_argument("--preset", metavar="NAME|FILE", help="quick (default), camvid, cityscapes, latency")
    parser.add_argument(
        *("--weights", "--checkpoint"), action="append", default=[], metavar="[MODEL=]W", help=WEIGHTS["help"]
    )
    parser.add_argument("--input-size", action="append", metavar="HxW,…", help="what the network sees, a row each")
    parser.add_argument("--batch", type=count, metavar="N", help="images a call (default: 1)")
    runtimes = "eager (default), compile, aoti, onnxruntime, openvino, tensorrt; or installed"
    parser.add_argument("--runtimes", action="append", metavar="R,…", help=runtimes)
    parser.add_argument("--precision", action="append", metavar="P,…", help="fp32 (default), tf32, bf16, fp16, int8")
    parser.add_argument(
        "--accuracy-images", type=count, metavar="N", help="count mIoU on N images, spread over the split"
    )
    parser.add_argument(
        "--throughput", action="store_true", help="the offline scenario too: images/s as the batch grows"
    )
    paced = "pace the calls: one when each frame is due, such as 10hz; missed deadlines are counted, rows stand apart"
    parser.add_argument("--rate", metavar="RATE", help=paced)
    parser.add_argument(
        "--seeds", type=count, metavar="N", help="train each model with N seeds: one row, mean and spread"
    )
    parser.add_argument(
        *("--file", "--artifact"), metavar="FILE", help="measure an exported .onnx or .pt2 file in place of models"
    )
    parser.add_argument(
        "--pair",
        nargs=2,
        metavar=("A", "B"),
        help="time two in turn: faster, slower or tie; each is MODEL[,runtime=R][,precision=P][,input_size=HxW]",
    )
    parser.add_argument(
        "--mean", metavar="R,G,B", help="of a --file that takes floats: what to subtract, 0 to 1 or 255"
    )
    parser.add_argument("--std", metavar="R,G,B", help="and what to divide by")
    parser.add_argument("--classes", metavar="A,B,…|FILE", help="its classes in the channels' order; or cityscapes")
    parser.add_argument("--output", metavar="NAME", help="which of its outputs is the answer")
    parser.add_argument("--trust", action="store_true", help="run a .pt2, which is native code")
    parser.add_argument("--device", metavar="D", help=f"{DEVICE['help']}; or cuda:all, a worker for each GPU")
    parser.add_argument("--threads", type=count, metavar="N", help="CPU threads (default: one per core)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one key of the preset")
    parser.add_argument("--results", **RESULTS)
    parser.add_argument("--runs", **RUNS)
    parser.add_argument("--rerun", action="store_true", help="measure finished cells again")
    budget = "measure what fits this time, slowest last, and name what does not: 5m, 90s, 1h30m; a later call goes on"
    parser.add_argument("--budget", metavar="TIME", help=budget)
    parser.add_argument("--dry-run", action="store_true", help="list what would be measured and how long it may take")
    plan = "with --dry-run write the cells to FILE, for any number of machines; else measure those of FILE"
    parser.add_argument("--plan", metavar="FILE", help=plan)
    share = "of a plan, the I-th of N equal shares, which have no training in common (default: whatever is free)"
    parser.add_argument("--shard", metavar="I/N", help=share)
    parser.add_argument("--fleet", **FLEET)
    on = "of a fleet, the kinds of device: accelerators as Ray calls them, and cpu (default: GPUs, else processors)"
    parser.add_argument("--on", action="append", metavar="D,…", help=on)


def run(arguments: argparse.Namespace) -> int:
    """Run it and return its exit code."""
    if arguments.pair:
        return _pair(arguments, _config(arguments))

    from zoo.bench.forecast import show_forecast
    from zoo.bench.live import Live
    from zoo.bench.plan_file import require_place, write_plan
    from zoo.bench.planning import plan_bench
    from zoo.bench.sweep import run_bench

    require_fleet(arguments, ("on",))
    request = _request(arguments)
    if arguments.fleet:
        refuse(arguments, ("device", "dry_run", "shard"), "--fleet measures on what --on names")
    writes = arguments.dry_run and arguments.plan and request.plan is None
    if writes:
        require_place(Path(arguments.plan))
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # a plain kill ends a sweep as Ctrl-C does
    try:
        if arguments.fleet:
            sweep = _fleet(arguments, request)
        else:
            with Live(make_console()) as live:
                if arguments.dry_run:
                    planned = plan_bench(request, live.note, elsewhere=bool(writes))
                else:
                    sweep = run_bench(request, live)
    finally:
        signal.signal(signal.SIGTERM, before)
    if arguments.dry_run:
        print(show_forecast(planned.forecast), end="")
        if writes:
            place = Path(arguments.plan)
            stood = place.exists()
            plan = write_plan(planned.plan, place)
            print(f"plan: {place} ({counted(len(plan.cells), 'cell')}{', as it stood there before' if stood else ''})")
        return 0

    from zoo.report.board import make_board
    from zoo.report.leaderboard import leaderboard, render
    from zoo.report.output import write
    from zoo.score.reading import rows_of

    answered = (*sweep.finished, *sweep.records)
    is_begun = any(not record.is_baseline for record in answered) or not sweep.claimed
    if answered and is_begun:
        everything = leaderboard(arguments.results)
        print(render(make_board(rows_of(answered, everything.rows), among=everything.rows)))
    print(
        f"cells measured: {len(sweep.records)}, finished before: {len(sweep.finished)}; "
        f"{sweep.seconds / 60:.1f} min; records: {arguments.results}"
    )
    if sweep.claimed:
        claimed, models = counted(len(sweep.claimed), "cell"), listed(dict.fromkeys(sweep.claimed))
        who = f", by {listed(sweep.claimed_by)}" if sweep.claimed_by else ""
        print(
            f"claimed by other sweeps: {claimed} of {models}{who}; their records come to {arguments.results}, and the "
            "same command goes on with what they leave"
        )
    if sweep.stranded:
        print(
            f"for want of a device: {', '.join(sweep.stranded)}; the same command goes on with them when there is one"
        )
    if sweep.left_out:
        print(f"left out for want of time: {', '.join(sweep.left_out)}; the same command goes on with them")
    if not (answered and is_begun):  # an empty share, or all of it is under way elsewhere: there is no table yet
        return sweep.exit_code
    warn(everything.warnings)
    try:
        print(f"every table: {write(everything, Path(arguments.results) / 'leaderboard.md')[0]}")
    except UserError as error:  # the records are safe: a page somebody else wrote is no reason to fail
        warn([str(error)])
    return sweep.exit_code


def _fleet(arguments: argparse.Namespace, request: Request) -> Sweep:
    from zoo.fleet.live import LiveFleet
    from zoo.fleet.sweep import run_fleet

    with LiveFleet(make_console()) as live:
        return run_fleet(request, arguments.fleet, read_words(arguments.on) or (), live)


def _request(arguments: argparse.Namespace) -> Request:
    """What is asked for, by a plan or by flags."""
    from zoo.units import parse_duration, parse_shard

    shard = parse_shard(arguments.shard) if arguments.shard else None
    from zoo.bench.plan_file import read_plan
    from zoo.bench.request import Request
    from zoo.foreign import Feed

    plan = None
    if arguments.plan and (shard or not arguments.dry_run):
        refuse(arguments, PLANNED, "--plan says what is measured")
        plan = read_plan(Path(arguments.plan))
    return Request(
        _config(arguments) if plan is None else plan.config_for(arguments.device),
        data=arguments.data,
        results=arguments.results,
        runs=arguments.runs,
        cache=arguments.cache,
        weights=arguments.weights,
        rerun=arguments.rerun,
        file=arguments.file,
        trust=arguments.trust,
        feed=Feed(
            **only_given(
                mean=read_triple(arguments.mean),
                std=read_triple(arguments.std),
                classes=arguments.classes,
                output=arguments.output,
            )
        ),
        budget_s=parse_duration(arguments.budget) if arguments.budget else None,
        plan=plan,
        models=() if plan is None else read_words(arguments.models) or (),
        shard=shard,
    )


def _config(arguments: argparse.Namespace) -> BenchConfig:
    from zoo.config import BenchConfig, load_config
    from zoo.units import parse_per_second, parse_size

    changes = read_changes(
        arguments.set,
        models=read_words(arguments.models),
        input_sizes=[parse_size(size) for size in read_words(arguments.input_size) or []] or None,
        batch_size=arguments.batch,
        runtimes=read_words(arguments.runtimes),
        precisions=read_words(arguments.precision),
        accuracy_images=arguments.accuracy_images,
        throughput=arguments.throughput or None,
        rate_hz=parse_per_second(arguments.rate) if arguments.rate else None,
        seeds=arguments.seeds,
        device=arguments.device,
        threads=arguments.threads,
    )
    config = load_config(BenchConfig, arguments.preset or "quick", changes)
    for keys, why in _without_effect(config, of_file=arguments.file is not None):
        refuse(arguments, [key for key in keys if hasattr(arguments, key)], why)
        for key in keys:
            if key in changes:
                raise UserError(f"{why}; leave --set {key} away")
    return config


def _without_effect(config: BenchConfig, *, of_file: bool) -> Iterator[tuple[Sequence[str], str]]:
    """Keys that nothing would read, and why."""
    preset = f"preset {config.name} with"
    if not config.accuracy:
        yield ("split", "accuracy_images"), f"{preset} accuracy = false counts no mIoU"
    elif not of_file:
        own = "--input-size HxW says what a network sees of them, and --set accuracy=false makes frames up"
        yield ("image_size",), f"{preset} accuracy = true takes frames as large as the dataset has them; {own}"
    if not config.train_missing:
        of_training = "train_models", "trainings_at_once", "keep_checkpoints"
        yield of_training, f"{preset} train_missing = false trains nothing"
    if not {"compile", "installed"}.intersection(config.runtimes):
        yield ("compile_mode",), f"{preset} runtimes = {list(config.runtimes)} compiles nothing"


def _pair(arguments: argparse.Namespace, config: BenchConfig) -> int:
    flags = (
        "models",
        "file",
        "rerun",
        "dry_run",
        "budget",
        "throughput",
        "rate",
        "accuracy_images",
        "seeds",
        "mean",
        "std",
        "classes",
        "output",
        "plan",
        "shard",
        "fleet",
        "on",
    )
    refuse(arguments, flags, "--pair times the two it names and nothing else")

    from zoo.bench.live import Live
    from zoo.bench.pair import PairError, run_pair
    from zoo.report.pair import show_pair

    try:
        with Live(make_console()) as live:
            pair = run_pair(
                config,
                *arguments.pair,
                data=arguments.data,
                runs=arguments.runs,
                cache=arguments.cache,
                weights=arguments.weights,
                on_event=live,
            )
    except PairError as error:
        print(f"zoo: {carried(str(error))}", file=sys.stderr)
        return 3
    print(show_pair(pair), end="")
    return 0
