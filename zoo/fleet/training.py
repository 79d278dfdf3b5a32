"""`zoo train --fleet`: the same training loop in the processes that Ray Train starts, on any number of nodes.

The run's folder travels: what the driver has of an interrupted run goes to the first process, and what that one saves
comes back at once, so that the same command goes on wherever its processes are next time.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.cache import cache_folder
from zoo.catalog import find
from zoo.checkpoint import run_folder, run_lock, runs_folder
from zoo.config import TrainConfig
from zoo.data.layout import open_dataset
from zoo.errors import UserError
from zoo.files import write_all
from zoo.fleet.cluster import CPU, Seat, is_lost, joined, nodes, nodes_of, seats
from zoo.fleet.fitness import require_fit
from zoo.fleet.needs import Needs, find_data, needs_of, source_of
from zoo.lazy import Lazy
from zoo.train.distributed import PATIENCE, is_first_process
from zoo.train.loop import Trained, train_model

if TYPE_CHECKING:
    import ray
    import ray.train as ray_train
    import ray.train.torch as ray_torch
else:
    ray, ray_train, ray_torch = Lazy("ray"), Lazy("ray.train"), Lazy("ray.train.torch")

POLL_S = 0.3
RETRIES = 2
"""How often the processes are started again when a node of theirs is lost."""
Files = dict[str, bytes]
"""What a run's folder holds, by name."""


@dataclass(frozen=True)
class Errand:
    """What every process is told."""

    model: str
    config: TrainConfig
    needs: Needs
    device: str
    resume: bool
    time_limit_s: float | None


class Mailbox:
    """Between the first process and the driver; an actor that outlives the processes."""

    def __init__(self, files: Files) -> None:
        self._files, self._news = files, list[tuple[str, Any]]()

    def put(self, kind: str, content: Any) -> None:
        """Leave news for the driver."""
        self._news.append((kind, content))

    def keep(self, files: Files) -> None:
        """Take what was saved: for the driver, and for processes that are started again."""
        self._files = files
        self._news.append(("files", files))

    def files(self) -> Files:
        """What was saved last."""
        return self._files

    def take(self) -> list[tuple[str, Any]]:
        """All news since the last call."""
        news, self._news = self._news, []
        return news


def train_on_fleet(
    address: str,
    name: str,
    config: TrainConfig,
    *,
    workers: int | None = None,
    on: tuple[str, ...] = (),
    data: Path | str | None = None,
    runs: Path | str | None = None,
    cache: Path | None = None,
    on_frame: Callable[[int, int], None],
    on_step: Callable[[int, float, float], None],
    on_validation: Callable[[int, float | None, dict[str, float | None]], None],
    resume: bool = True,
    time_limit_s: float | None = None,
) -> Trained:
    """Train a model by name in several processes of a fleet, one for each device.

    Args:
        address: Of the fleet (`cluster.joined`).
        name: As `train_model` takes it, as are all that are not named here.
        config: Likewise.
        workers: Processes; `None`: one for each device that was asked for.
        on: The kind of device; none: GPUs where there are any, else processors.
        data: Likewise.
        runs: Where the run is kept, on this machine.
        cache: Likewise, on every node.
        on_frame: Likewise.
        on_step: Told of some steps, the last one always.
        on_validation: Likewise.
        resume: Likewise.
        time_limit_s: Likewise.

    Raises:
        UserError: as `train_model`; no such fleet, a node that is not fit, fewer devices than processes.
    """
    if workers is not None and workers < 1:
        raise UserError(f"--workers counts the devices that train, 1 or more; got {workers}")
    spec, dataset = find(name), open_dataset(data, cache=cache)
    folder = run_folder(runs_folder(runs), spec, dataset, config)
    with joined(address), run_lock(folder):
        chosen = _alike(on)
        if workers is not None and workers > len(chosen):
            kind = chosen[0].device
            raise UserError(f"the fleet has {len(chosen)} of {kind} and --workers asks for {workers}; ask for fewer")
        needs = needs_of(dataset, [spec], cache)
        require_fit(nodes_of(chosen), needs)
        device = "cpu" if chosen[0].is_cpu else "cuda"
        errand = Errand(source_of(spec), config, needs, device, resume, time_limit_s)
        head = {"num_cpus": 0, "resources": {"node:__internal_head__": 0.001}}
        mailbox = ray.remote(Mailbox).options(**head).remote(_read(folder) if resume else {})
        fitted = ray.remote(_fit).options(**head, max_retries=0).remote(errand, mailbox, chosen, workers or len(chosen))
        told: dict[str, Callable[..., None]] = {"frame": on_frame, "step": on_step, "validation": on_validation}
        trained: Trained | None = None
        done = list[Any]()
        while not done:
            done, _ = ray.wait([fitted], timeout=POLL_S)
            for kind, content in _news(mailbox):
                if kind == "files":
                    write_all({folder / one: held for one, held in content.items()})
                elif kind == "trained":
                    trained = content
                elif kind == "mistake":
                    raise UserError(content)
                else:
                    told[kind](*content)
        said = ray.get(fitted)
    if trained is None:
        raise UserError(f"{name} was not trained to its end: {said}; the same command goes on from what was saved last")
    return replace(trained, best=folder / trained.best.name, last=folder / trained.last.name)


def _alike(on: tuple[str, ...]) -> list[Seat]:
    """Every device of the kind that trains: Ray may place a process on any of them."""
    kinds = list(dict.fromkeys(seat.device for seat in seats(nodes(), on)))
    if not on:  # GPUs before processors
        kinds = sorted(kinds, key=lambda kind: kind == CPU)[:1]
    if len(kinds) > 1:
        raise UserError(f"one training runs on one kind of device, and --on names {', '.join(kinds)}; name one of them")
    return seats(nodes(), kinds)


def _news(mailbox: Any) -> list[tuple[str, Any]]:
    try:
        news: list[tuple[str, Any]] = ray.get(mailbox.take.remote())
    except Exception as error:
        if is_lost(error):
            raise UserError("the fleet's head was lost; the same command goes on from what was saved last") from error
        raise
    return news


def _fit(errand: Errand, mailbox: Any, chosen: list[Seat], count: int) -> str:
    """Run Ray Train, on the head; return what went wrong, in a line."""
    room = tempfile.mkdtemp(prefix="zoo-train-")  # Ray Train wants some, and nothing is written into it
    is_cpu, accelerator = chosen[0].is_cpu, chosen[0].node.accelerator
    cores = sorted(seat.node.cpu_count for seat in chosen)[-count]  # which as many nodes have
    resources = {"CPU": float(cores)} if is_cpu else {"CPU": 1.0, "GPU": 1.0}
    trainer = ray_torch.TorchTrainer(
        _loop,
        train_loop_config={"errand": errand, "mailbox": mailbox},
        scaling_config=ray_train.ScalingConfig(
            num_workers=count,
            use_gpu=not is_cpu,
            resources_per_worker=resources,
            accelerator_type=None if is_cpu else accelerator or None,
        ),
        torch_config=ray_torch.TorchConfig(timeout_s=int(PATIENCE.total_seconds())),
        run_config=ray_train.RunConfig(storage_path=room, failure_config=ray_train.FailureConfig(max_failures=RETRIES)),
    )
    try:
        trainer.fit()
    except Exception as error:  # noqa: BLE001  whatever it is, the driver says it in a line
        return " ".join(str(error).split())[-300:]
    finally:
        shutil.rmtree(room, ignore_errors=True)
    return ""


def _loop(told: dict[str, Any]) -> None:
    """What each process does."""
    errand, mailbox = told["errand"], told["mailbox"]
    cache = errand.needs.cache or cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    runs = Path(tempfile.mkdtemp(prefix="zoo-train-", dir=cache))
    try:
        trained = _trained(errand, mailbox, runs)
    except UserError as error:
        ray.get(mailbox.put.remote("mistake", str(error)))
        raise  # the others may be waiting for this one
    finally:
        shutil.rmtree(runs, ignore_errors=True)
    if is_first_process():
        ray.get(mailbox.put.remote("trained", trained))


def _trained(errand: Errand, mailbox: Any, runs: Path) -> Trained:
    spec, data = find(errand.model), find_data(errand.needs)
    folder = run_folder(runs, spec, open_dataset(data, cache=errand.needs.cache), errand.config)
    first = is_first_process()
    if first:
        write_all({folder / name: content for name, content in ray.get(mailbox.files.remote()).items()})
    saved_at, told_at = _saved_at(folder), 0.0

    def tell(kind: str, *content: Any) -> None:
        mailbox.put.remote(kind, content)

    def on_step(step: int, loss: float, rate: float) -> None:
        nonlocal saved_at, told_at
        if step == errand.config.steps or time.monotonic() - told_at > POLL_S:
            told_at = time.monotonic()
            tell("step", step, loss, rate)
        if saved_at != (now := _saved_at(folder)):
            saved_at = now
            ray.get(mailbox.keep.remote(_read(folder)))

    trained = train_model(
        errand.model,
        errand.config,
        data=data,
        runs=runs,
        cache=errand.needs.cache,
        device=errand.device,
        on_frame=lambda done, total: tell("frame", done, total),
        on_step=on_step,
        on_validation=lambda step, score, classes: tell("validation", step, score, classes),
        resume=errand.resume,
        time_limit_s=errand.time_limit_s,
    )
    if first:
        ray.get(mailbox.keep.remote(_read(folder)))
    return trained


def _saved_at(folder: Path) -> float | None:
    last = folder / "last.safetensors"
    return last.stat().st_mtime if last.is_file() else None


def _read(folder: Path) -> Files:
    """Every plain file of a run, the checkpoint that says how far it is last; locks are each machine's own."""
    if not folder.is_dir():
        return {}
    found = sorted(folder.iterdir(), key=lambda path: (path.name == "last.safetensors", path.name))
    return {
        path.name: path.read_bytes() for path in found if path.is_file() and not path.name.startswith((".", "lock"))
    }
