"""Finding the weights that were asked for: one answer for every verb. Free of torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from zoo.checkpoint import CheckpointFacts, FinishedRun, finished_runs, read_facts, runs_of_other_code
from zoo.config import TrainConfig
from zoo.data.layout import Dataset
from zoo.errors import UserError, listed
from zoo.files import LEAST_DIGITS, sha256_of
from zoo.presets import RECIPE_HASHES
from zoo.published.facts import Published
from zoo.published.kept import file_of, sha256_as_kept
from zoo.published.table import published_of
from zoo.score.commands import how_to_train
from zoo.score.fields import quoted
from zoo.spec import IGNORE_INDEX, DatasetSpec, Feeding, ModelSpec
from zoo.weights.asked import AUTO, TRAINED, Asked
from zoo.weights.hub import hub_source
from zoo.weights.source import Brought, Source


def resolve(
    asked: Asked,
    spec: ModelSpec,
    dataset: Dataset | None,
    *,
    runs: Path,
    cache: Path | None = None,
    brings: Callable[[], Brought] | None = None,
) -> Source:
    """Find a model's weights; what every verb calls.

    Args:
        asked: What `--weights` says.
        spec: The model.
        dataset: Whose finished runs and classes are meant; `None`: none is open.
        runs: Folder of all runs.
        cache: Where published files are kept, as in `published.kept.file_of`.
        brings: Builds a model of your own twice and says what it holds; only called where that decides.

    Returns:
        The weights; random ones, with `missing`, where `auto` finds none.

    Raises:
        UserError: what was asked for is not there, or does not fit the model or the dataset's classes.
    """
    if asked.kind == "random":
        return Source(kind="random", seed=0)
    if asked.kind == "auto":
        return _automatic(spec, dataset, runs, cache, brings)
    source = _named(asked, spec, dataset, runs, cache, brings)
    return fitted(source, spec, dataset)


def resolve_start(
    asked: Asked,
    spec: ModelSpec,
    dataset: Dataset,
    config: TrainConfig,
    *,
    runs: Path,
    cache: Path | None = None,
    brings: Callable[[], Brought] | None = None,
) -> Source:
    """Find the weights that training begins from: as `resolve`, but their classes may be others than the dataset's.

    Args:
        asked: What `--init` says.
        spec: The model.
        dataset: It will be trained on this; `run` is a run on it.
        config: By this recipe. What came of the same command before is not what it begins from, unless that is named.
        runs: As in `resolve`, as are the next two.
        cache: Where published files are kept.
        brings: Says what a model of your own holds.

    Raises:
        UserError: it is not there, or no weights are named.
    """
    if asked.kind in {"auto", "random"}:
        raise UserError(
            f"--init {asked.kind} names no weights to begin from; give {TRAINED}, or leave --init away: then training "
            "begins from random ones"
        )
    return _named(asked, spec, dataset, runs, cache, brings, config)


def _named(
    asked: Asked,
    spec: ModelSpec,
    dataset: Dataset | None,
    runs: Path,
    cache: Path | None,
    brings: Callable[[], Brought] | None,
    begins: TrainConfig | None = None,
) -> Source:
    """Find what was named; `begins`: a recipe that will begin from it, for which a file's classes may be others."""
    if asked.kind == "run":
        return _of_run(asked, spec, dataset, runs, begins)
    if _is_of_hub(asked, spec):
        return hub_source(spec, dataset if begins is None else None)
    if asked.kind == "published":
        return _of_published(asked, spec, cache)
    if asked.file is not None:
        return _of_file(asked.file, spec, dataset if begins is None else None)
    return _own(spec, brings)


def _is_of_hub(asked: Asked, spec: ModelSpec) -> bool:
    """Whether the weights that lie beside a hub's model are asked for: it brings them, and they are published."""
    tag = spec.hub.partition(":")[0]
    return bool(tag) and (asked.kind == "own" or asked in {Asked("published"), Asked("published", tag)})


def _automatic(
    spec: ModelSpec, dataset: Dataset | None, runs: Path, cache: Path | None, brings: Callable[[], Brought] | None
) -> Source:
    if dataset is not None and (found := finished_runs(runs, spec, dataset.fingerprint())):
        return fitted(_newest(found), spec, dataset)
    if spec.hub:
        source = hub_source(spec, dataset)
        return fitted(source, spec, dataset)
    for one in published_of(spec.name):
        file = file_of(one, cache)
        if file.is_file() and (dataset is None or not _lacking(one.classes, dataset.spec)):
            source = published_source(one, file, sha256_as_kept(one, file))
            return fitted(source, spec, dataset)
    brought = brings() if spec.own and brings is not None else Brought(None)
    if brought.sha256 is not None:
        return Source(kind="own", sha256=brought.sha256, recipe="external")
    missing = _how_to_have_some(spec, dataset, runs, AUTO)
    if brought.differing:
        missing += f"; those it is built with are others from call to call ({brought.differing} first)"
    return Source(kind="random", seed=0, missing=missing)


def run_name(config: TrainConfig) -> str:
    """The run of a recipe and seed, as `--weights` and `--init` take it."""
    return f"run:{config.name}@{config.recipe_hash[:LEAST_DIGITS]}:{config.seed}"


def _of_run(
    asked: Asked, spec: ModelSpec, dataset: Dataset | None, runs: Path, begins: TrainConfig | None = None
) -> Source:
    if dataset is None:
        raise UserError(
            f"{spec.name}: a run is one on a dataset and none is open, since accuracy = false; give the run's FILE, or "
            "take a preset with accuracy and name the dataset with --data"
        )
    found = finished_runs(runs, spec, dataset.fingerprint())
    if not found:
        flag = "--weights" if begins is None else "--init"
        raise UserError(f"{spec.name}: {_how_to_have_some(spec, dataset, runs, asked, flag)}")
    wanted = [
        run
        for run in found
        if (asked.name is None or _is_recipe(run.facts.config.name, run.facts.recipe_hash, asked.name))
        and asked.seed in (None, run.facts.config.seed)
    ]
    if not wanted:
        what = f"recipe {asked.name}" + ("" if asked.seed is None else f" with seed {asked.seed}")
        raise UserError(
            f"{spec.name}: no finished run by {what} on {dataset.name}; there is {_names(found)}; "
            f"{how_to_train_it(spec, dataset, asked)} makes it"
        )
    return _newest(wanted if begins is None else _earlier(wanted, begins))


def _earlier(found: Sequence[FinishedRun], config: TrainConfig) -> Sequence[FinishedRun]:
    """Runs without those that began from weights by this very recipe, unless there are no others."""

    def began(run: FinishedRun) -> bool:
        before = run.facts.config
        plain = before.model_copy(update={"init_hash": None})
        return before != plain and (plain.recipe_hash, plain.seed) == (config.recipe_hash, config.seed)

    return [run for run in found if not began(run)] or found


def _newest(found: Sequence[FinishedRun]) -> Source:
    """The first of them, and a note of the others."""
    first, *others = found
    notes = (f"the newest; there is also {_names(others)}",) if others else ()
    return _of_checkpoint(first.file, first.facts).model_copy(update={"notes": notes})


def _names(runs: Sequence[FinishedRun]) -> str:
    """As `--weights` takes them."""
    return listed(run_name(run.facts.config) for run in runs)


def _is_recipe(own: str, known: str, name: str) -> bool:
    """Whether a name is that of a recipe: its own, `NAME@HASH`, or the first digits of the hash that is known of it."""
    recipe, at, digits = name.rpartition("@")
    if at:
        return own == recipe and known.startswith(digits)
    return own == name or (len(name) >= LEAST_DIGITS and known.startswith(name))


def _of_file(file: Path, spec: ModelSpec, dataset: Dataset | None) -> Source:
    facts = read_facts(file)
    if facts is None:
        return Source(kind="file", file=file, sha256=sha256_of(file), tag=file.name, recipe="external")
    if facts.model != spec.name:
        raise UserError(f"{file} is a checkpoint of {facts.model}, not of {spec.name}; name {facts.model} with it")
    source = _of_checkpoint(file, facts)
    if facts.classes is not None or dataset is None or dataset.fingerprint() == facts.fingerprint:
        return source
    if facts.num_classes != dataset.spec.num_classes:
        raise UserError(
            f"{file} was trained for {facts.num_classes} classes, the dataset has {dataset.spec.num_classes}; "
            f"give the dataset it was trained on, {facts.dataset}, with --data"
        )
    note = f"it does not tell its classes (an older zoo wrote it): taken for those of {dataset.name}, in its order"
    return source.model_copy(update={"notes": (note,)})


def _of_checkpoint(file: Path, facts: CheckpointFacts) -> Source:
    return Source(
        kind="run",
        file=file,
        sha256=sha256_of(file),
        licence=facts.licence,
        trained_on=facts.dataset,
        num_classes=facts.num_classes,
        classes=facts.classes,
        feeding=facts.feeding or Feeding(input_size=facts.config.image_size),  # all that version 1 tells
        recipe=facts.config.name,
        recipe_hash=facts.recipe_hash,
        step_count=facts.step,
        seed=facts.config.seed,
        pretrained=facts.pretrained,
        init=facts.init,
        init_sha256=facts.init_sha256,
    )


def _of_published(asked: Asked, spec: ModelSpec, cache: Path | None) -> Source:
    known = published_of(spec.name, asked.name)
    if not known:
        tags = ", ".join(one.tag for one in published_of(spec.name))
        there = f"there is {tags}" if tags else "name a FILE"
        what = f"called {asked.name} " if asked.name else ""
        raise UserError(f"{spec.name}: no published weights {what}are known; {there}")
    for one in known:
        file = file_of(one, cache)
        if file.is_file():
            return published_source(one, file, sha256_as_kept(one, file))
    first = known[0]
    raise UserError(
        f"{spec.name}: its published weights {first.tag} are not on this machine; `zoo weights fetch {first.id}` "
        f"fetches them, `zoo weights add FILE --as {first.id}` takes a file you have of {first.url}"
    )


def published_source(one: Published, file: Path, sha256: str) -> Source:
    """The weights of a published checkpoint, in a file of this hash."""
    return Source(
        kind="published",
        file=file,
        sha256=sha256,
        tag=one.tag,
        url=one.url,
        licence=one.weights_licence.value,
        trained_on=one.classes.name,
        num_classes=one.num_outputs,
        classes=one.classes,
        train_ids=one.channels,
        published=one,
        feeding=one.feeding,
        recipe="external",
    )


def _own(spec: ModelSpec, brings: Callable[[], Brought] | None) -> Source:
    if not spec.own or brings is None:
        raise UserError(
            f"{spec.name} is a row of the zoo, which begins with random weights; `own` is for a model of your own that "
            "loads its weights when it is built"
        )
    brought = brings()
    if brought.sha256 is None:
        raise UserError(
            f"{spec.name}: its weights are others from call to call ({brought.differing} first), so it brings none of "
            "its own; load a file where it is built, or name a FILE"
        )
    return Source(kind="own", sha256=brought.sha256, recipe="external")


def _lacking(classes: DatasetSpec, dataset: DatasetSpec) -> list[str]:
    """Classes of the dataset that are none of `classes`, by name."""
    there = set(dataset.train_ids_of(classes.class_names))
    return [name for train_id, name in enumerate(dataset.class_names) if train_id not in there]


def fitted(source: Source, spec: ModelSpec, dataset: Dataset | None) -> Source:
    """Match the weights' classes to the dataset's by their names, where there is one.

    Raises:
        UserError: the dataset has a class that the weights do not know.
    """
    if dataset is None:
        return source
    if source.classes is None:
        return _unnamed(source, spec, dataset) if source.of_hub else source
    if source.classes.class_names == dataset.spec.class_names:
        return source
    names, lacking = source.classes.class_names, _lacking(source.classes, dataset.spec)
    if lacking:
        known = f"{', '.join(names[:3])}, …"
        what = (
            f"its weights know {len(names)} classes ({known})"
            if source.of_hub
            else f"{source.file} was trained for {len(names)} classes of {source.trained_on} ({known})"
        )
        begin = f"{quoted(_typed(spec))} --init {'own' if source.of_hub else source.file}"
        raise UserError(
            f"{spec.name}: {what} and {dataset.name} has others too ({', '.join(lacking[:3])}): give the dataset it "
            f"was trained on with --data, or begin from it with `zoo train {begin}`"
        )
    train_ids = dataset.spec.train_ids_of(names)
    if source.train_ids is None and train_ids == (*range(dataset.spec.num_classes),):
        return source  # spelled in another way
    unused = sum(train_id == IGNORE_INDEX for train_id in train_ids)
    if source.train_ids is not None:  # which class of theirs each channel is
        train_ids = tuple(IGNORE_INDEX if index == IGNORE_INDEX else train_ids[index] for index in source.train_ids)
    left = f", {unused} of its {len(names)} are none of them" if unused else ""
    note = f"its classes are matched to those of {dataset.name} by name, whose order is another{left}"
    return source.model_copy(update={"train_ids": train_ids, "notes": (*source.notes, note)})


def _unnamed(source: Source, spec: ModelSpec, dataset: Dataset) -> Source:
    """Take channels without names for the dataset's classes, where they are as many.

    Raises:
        UserError: they are not.
    """
    if source.num_classes != dataset.spec.num_classes:
        raise UserError(
            f"{spec.name}: its {source.num_classes} output channels have no names, and {dataset.name} has "
            f"{dataset.spec.num_classes} classes: give the dataset it was trained on with --data (hf: reads names from "
            "id2label in config.json)"
        )
    note = f"its channels have no names: taken for the classes of {dataset.name}, in its order"
    return source.model_copy(update={"notes": (*source.notes, note)})


def how_to_train_it(spec: ModelSpec, dataset: Dataset, asked: Asked) -> str:
    """Return the command, in backticks, that makes the run that is asked for."""
    name = asked.name or ""
    comes = next((one for one, known in RECIPE_HASHES.items() if _is_recipe(one, known, name)), name)
    command = how_to_train(_typed(spec), comes, asked.seed or 0, on_data=not dataset.synthetic)
    if "--config FILE" not in command:
        return f"`{command}`"
    namesake = name.partition("@")[0]
    another = f", which is not here: zoo's own {namesake} is another" if namesake in RECIPE_HASHES else ""
    return f"`{command}` (FILE is the recipe {name}{another})"


def _typed(spec: ModelSpec) -> str:
    """Return what names a model on the command line, in the current folder."""
    file, _, function = spec.builder.rpartition(":")
    if not (spec.own and file.endswith(".py")):
        return spec.hub or spec.name
    path, here = Path(file), Path.cwd()
    return f"{path.relative_to(here) if path.is_relative_to(here) else path}:{function}"


def _how_to_have_some(
    spec: ModelSpec, dataset: Dataset | None, runs: Path, asked: Asked, flag: str = "--weights"
) -> str:
    """Why there are no trained weights, and the nearest there are."""
    known = published_of(spec.name)
    fetched = f", or fetch published ones with `zoo weights fetch {known[0].id}`" if known else ""
    if dataset is None:
        return f"no dataset is open, so no run of it either; name others with {flag}{fetched}"
    where = f"no finished run on {dataset.name} in {runs}"
    text = f"{where}; train one with {how_to_train_it(spec, dataset, asked)}, or name weights with {flag}{fetched}"
    if before := runs_of_other_code(runs, spec, dataset.fingerprint()):
        return f"{text} (a run of the model as its code was before, or of an older zoo: {before[0].file})"
    if others := finished_runs(runs, spec):
        first = others[0]
        same = first.facts.dataset == dataset.name
        version = "another version of it" if same else first.facts.dataset
        return f"{text} (trained on {version}: {first.file})"
    return text
