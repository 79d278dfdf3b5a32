"""`zoo train`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from zoo.cli.flags import (
    CACHE,
    DATA,
    DEVICE,
    FLEET,
    RUNS,
    Verbs,
    add_verb,
    count,
    make_console,
    read_changes,
    read_words,
    refuse,
    require_fleet,
    warn,
)
from zoo.errors import UserError


def add(verbs: Verbs) -> None:
    """Add the verb and its flags."""
    parser = add_verb(verbs, "train", run, "train one model")
    parser.add_argument(
        "model", nargs="?", metavar="MODEL", help="see `zoo list`; or decoder:timm/encoder, hf:FOLDER, or net.py:build"
    )
    parser.add_argument("--data", **DATA)
    parser.add_argument("--cache", **CACHE)
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="a recipe that comes with zoo, such as camvid_cpu or camvid_cpu@11872d, or a TOML file",
    )
    parser.add_argument("--steps", type=count, metavar="N", help="how many (default: the recipe's)")
    parser.add_argument(
        "--init",
        metavar="W",
        help="begin from whole weights, as far as they fit: run[:RECIPE[:SEED]], published[:TAG], own, or a FILE",
    )
    parser.add_argument("--pretrained", action="store_true", help="begin from the encoder's published weights")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one key of the recipe")
    parser.add_argument("--device", metavar="D", help=f"{DEVICE['help']} (default: auto)")
    parser.add_argument("--runs", **RUNS)
    parser.add_argument("--seed", type=count, metavar="N", help="another one makes another run of the same recipe")
    parser.add_argument("--time-limit", metavar="T", help="such as 2h30m: stop cleanly then; the same command goes on")
    parser.add_argument("--repeat", type=Path, metavar="RUN", help="train a finished run's folder again, and compare")
    parser.add_argument("--fresh", action="store_true", help="begin anew instead of resuming an interrupted run")
    parser.add_argument("--fleet", **FLEET)
    parser.add_argument(
        "--on", metavar="D", help="of a fleet, the kind of device: an accelerator as Ray calls it, or cpu"
    )
    parser.add_argument(
        "--workers", type=count, metavar="N", help="of a fleet, how many devices (default: all of them)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run it and return its exit code."""
    from zoo.config import TrainConfig, load_config
    from zoo.train.distributed import is_first_process
    from zoo.train.live import LiveTraining
    from zoo.train.loop import train_model
    from zoo.train.repeat import repeat_run
    from zoo.train.run import read_run
    from zoo.units import parse_duration

    if (arguments.model is None) == (arguments.repeat is None):
        raise UserError("zoo train takes a MODEL, or --repeat RUN; give one of the two")
    changes = read_changes(
        arguments.set, steps=arguments.steps, pretrained=arguments.pretrained or None, seed=arguments.seed
    )
    require_fleet(arguments, ("on", "workers"))
    if arguments.fleet:
        refuse(
            arguments,
            ("init", "repeat", "device"),
            "--fleet trains on other machines, from the beginning or the encoder's weights",
        )
    if arguments.repeat is None:
        name, config = arguments.model, load_config(TrainConfig, arguments.config, changes)
    elif arguments.config or changes:
        raise UserError("--repeat trains by the recipe of the run it names; leave --config and changes away")
    else:
        before = read_run(arguments.repeat)
        name, config = before.model, before.config

    console = make_console()
    console.quiet = not is_first_process()
    with LiveTraining(console, name, config.steps) as live:
        shared: dict[str, Any] = {
            "data": arguments.data,
            "runs": arguments.runs,
            "cache": arguments.cache,
            "resume": not arguments.fresh,
            "time_limit_s": parse_duration(arguments.time_limit) if arguments.time_limit else None,
            "on_step": live,
            "on_frame": live.prepared,
            "on_validation": live.validated,
        }
        repeated = None
        if arguments.fleet:
            from zoo.fleet.training import train_on_fleet

            on = tuple(read_words([arguments.on]) or ()) if arguments.on else ()
            trained = train_on_fleet(arguments.fleet, name, config, workers=arguments.workers, on=on, **shared)
        else:
            here = {"init": arguments.init, "device": arguments.device or "auto"}
            repeated = repeat_run(arguments.repeat, **shared, **here) if arguments.repeat else None
            trained = repeated.trained if repeated else train_model(name, config, **shared, **here)
    if not is_first_process():
        return 0
    if trained.complete and live.first is None:
        print("this run was finished before, nothing was trained; --fresh begins it anew")
    if not trained.complete:
        print(f"the time limit was reached at step {trained.step_count} of {config.steps}; the same command goes on")
    if trained.miou is not None:
        kind = " (synthetic: drawn streets, not real ones)" if trained.synthetic else ""
        print(f"mIoU on val, full size: {100 * trained.miou:.1f} %{kind}")
    if repeated and trained.complete:
        before_said = "n/a" if repeated.miou_before is None else f"{100 * repeated.miou_before:.1f} %"
        same = "the same, bit for bit" if repeated.same_weights else "not the same"
        print(f"the run before: mIoU {before_said}; its last weights are {same}")
        warn([f"not as before: {difference}" for difference in repeated.differences])
    warn(trained.warnings)
    print(trained.best)
    return 1 if repeated and trained.complete and not repeated.same_weights else 0
