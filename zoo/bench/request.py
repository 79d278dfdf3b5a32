"""What a sweep is asked for, and that read and checked before any process starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zoo.bench.given import config_of, fitted, spec_of
from zoo.bench.plan import require_one_seed
from zoo.bench.plan_file import Plan, require_checkout
from zoo.card import Card, read_exported
from zoo.catalog import find, select
from zoo.checkpoint import runs_folder
from zoo.config import BenchConfig
from zoo.data.layout import Dataset, open_dataset
from zoo.errors import UserError, counted
from zoo.files import sha256_of
from zoo.foreign import NOTHING, Feed
from zoo.record import MEAN_LABEL_MAP
from zoo.spec import ModelSpec
from zoo.store import DEFAULT
from zoo.units import show_size
from zoo.weights.asked import Asked, parse_all_asked


@dataclass(frozen=True)
class Request:
    """What to measure, and where its data, weights and records are."""

    config: BenchConfig
    """What to measure; of a plan, its own (`Plan.config_for`)."""
    data: Path | str | None = None
    """Dataset in the Cityscapes layout; `None`: `CITYSCAPES_DATASET`, else the embedded synthetic streets. Without
    accuracy there is none."""
    results: Path | str = DEFAULT
    """Folder of the records."""
    runs: Path | str | None = None
    """Folder of training runs; `None`: `ZOO_RUNS`, else `runs`."""
    cache: Path | None = None
    """Of the embedded dataset and of built artifacts; `None`: `ZOO_CACHE`, else the user's cache folder."""
    weights: Sequence[str] = ()
    """`W` for every model or `MODEL=W` for one, as `zoo.weights.asked` reads them."""
    rerun: bool = False
    """Measure finished cells again."""
    file: Path | str | None = None
    """One that somebody exported, measured in place of `config.models`."""
    trust: bool = False
    """Run a `.pt2`, which is native code."""
    feed: Feed = NOTHING
    """What a file of another maker cannot say of itself."""
    budget_s: float | None = None
    """Seconds there are, from the call on: what is estimated to fit is measured, slowest last, and nothing is begun
    after them. A later call goes on."""
    plan: Plan | None = None
    """Measure the cells of a plan; `data`, `weights`, `file` and `models` then say where on this machine that is which
    it names by content."""
    models: Sequence[str] = ()
    """Where the models of a plan lie that are not of the table, as `zoo.catalog.find` reads them."""
    shard: tuple[int, int] | None = None
    """`(i, n)`, i from 1 to n: of n equal shares of the plan the i-th; `None`: all of it."""
    by_content: Mapping[str, Path] = field(default_factory=dict)
    """Copies of what a plan names by the SHA-256 of its bytes."""


@dataclass(frozen=True)
class Wanted:
    """What was asked for, read and checked."""

    config: BenchConfig
    specs: list[ModelSpec]
    asked: dict[str, Asked]
    """Weights by model."""
    dataset: Dataset | None
    runs: Path
    cache: Path | None
    file: tuple[Path, Card] | None
    notes: list[str]
    plan: Plan | None = None
    """Of a plan, the share that is meant."""
    by_content: Mapping[str, Path] = field(default_factory=dict)


def read(request: Request) -> Wanted:
    """Read what was asked for; nothing is built, and no process starts.

    Raises:
        UserError: a mistake in it; of a plan, another version or checkout, or what it names by content is not here.
    """
    config, plan, file = request.config, request.plan, request.file
    if file is None and plan is not None and plan.file is not None:
        file = request.by_content.get(plan.file.sha256)
    notes = list[str]()
    if request.shard is not None:
        if plan is None:
            raise UserError("--shard is a share of a plan; name its file with --plan")
        (index, count), set_count = request.shard, len(plan.groups())
        plan = plan.share(index, count)
        if not plan.cells:
            sets = counted(set_count, "set")
            notes.append(f"share {index}/{count} is empty: the plan has {sets} of weights, and none is split")
    if plan is not None:
        require_checkout(plan)
    if file is not None and config.seeds > 1:
        raise UserError(
            f"seeds = {config.seeds} measures as many trainings of each model and a --file holds one; "
            "set seeds = 1, or leave --file away"
        )
    if file is not None and request.weights:
        raise UserError(f"--file {file} holds its weights; leave --weights away")
    if file is None and request.feed.model_fields_set:
        raise UserError("--mean, --std, --classes and --output speak of a --file; name one, or leave them away")
    _require_file(plan, file)
    given = None if file is None else (Path(file), read_exported(Path(file), trust=request.trust, feed=request.feed))
    if given is not None:
        config, told = config_of(given[1], config)
        notes += told
        specs = [spec_of(given[1])]
    else:
        specs = select(config.models) if plan is None else _planned_specs(plan, request.models)
    # Of the whole plan: all its shares may be given the same flags.
    names = [spec.name for spec in specs] if request.plan is None or given else _models_of(request.plan)
    asked = parse_all_asked(request.weights, names) if names else {}
    asked = {spec.name: asked[spec.name] for spec in specs}
    for model, one in asked.items():
        require_one_seed(config, model, one)
    dataset = open_data(config, request.data, request.cache)
    if plan is not None:
        _require_data(plan, dataset)
    if given is not None:
        card, more = fitted(given[1], config, dataset)
        given, notes = (given[0], card), [*notes, *more]
    runs = runs_folder(request.runs)
    return Wanted(config, specs, asked, dataset, runs, request.cache, given, notes, plan, request.by_content)


def open_data(config: BenchConfig, data: Path | str | None, cache: Path | None) -> Dataset | None:
    """Open the dataset that accuracy is counted on; without accuracy there is none, and none may be named.

    Raises:
        UserError: one is named, or it cannot be opened.
    """
    if config.accuracy:
        return open_dataset(data, cache=cache)
    if data is not None:
        raise UserError(
            f"preset {config.name} with accuracy = false reads no --data: its frames are made up, of "
            f"{show_size(config.image_size)}; leave --data away and say how large yours are with --set image_size=HxW, "
            "or take a preset with accuracy, such as camvid or cityscapes"
        )
    return None


def _models_of(plan: Plan) -> list[str]:
    return list(dict.fromkeys(cell.model for cell in plan.cells if cell.model != MEAN_LABEL_MAP))


def _planned_specs(plan: Plan, models: Sequence[str]) -> list[ModelSpec]:
    """The models of a plan: of the table by their names, others where they are said to lie."""
    given = {spec.name: spec for spec in select(models)} if models else {}
    specs = []
    for name in _models_of(plan):
        try:
            specs.append(given[name] if name in given else find(name))
        except UserError as error:
            raise UserError(f"the plan measures {name}, which is not here: say where it lies with --models") from error
    return specs


def _require_file(plan: Plan | None, file: Path | str | None) -> None:
    if plan is None:
        return
    if file is None and plan.file is not None:
        raise UserError(f"the plan measures the file {plan.file.name}: say where it lies with --file")
    if file is not None and plan.file is None:
        raise UserError(f"the plan measures no file; leave --file {file} away")
    if file is not None and plan.file is not None and sha256_of(Path(file)) != plan.file.sha256:
        raise UserError(f"{file} is not the {plan.file.name} that the plan was made of; give that one, or plan anew")


def _require_data(plan: Plan, dataset: Dataset | None) -> None:
    if dataset is None or plan.dataset is None or dataset.fingerprint() == plan.dataset.fingerprint:
        return
    raise UserError(
        f"the plan measures on {plan.dataset.name} ({plan.dataset.fingerprint}) and {dataset.root} holds other files "
        f"({dataset.fingerprint()}): give the folder it was made for with --data, or plan anew"
    )
