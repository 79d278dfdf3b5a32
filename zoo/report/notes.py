"""What stands below a table: what its numbers leave open, what is missing, what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from zoo.errors import counted, grouped
from zoo.report.marks import FASTEST, HURT, UNDER
from zoo.report.quoted import notes_on
from zoo.score.comparing import Fastest, Group, deadlines, say_slower, sharing, slower_int8, tie
from zoo.score.rows import Row
from zoo.score.trust import MAX_GROWTH_BYTES

FEW = 5
"""Rows of one kind that are named each."""


def notes(
    group: Group, good: list[Row], under: list[Row], fastest: list[Fastest], hidden: Sequence[Row]
) -> tuple[str, ...]:
    """Return what is to be known beside the numbers of a table, a sentence each.

    Args:
        group: What its rows share.
        good: Its rows that are ok, but the baseline.
        under: Those that are under the baseline.
        fastest: The fastest artifact of each model, where some model has several.
        hidden: Rows in fp32 that may be compared with them and that a filter hides.
    """
    said = []
    scored = {row.model for row in good if row.miou is not None}
    unscored = [row for row in good if row.miou is None and row.model not in scored]
    missing = models_of(unscored)
    if missing:
        which = f"{len(missing)} of {len(models_of(good))} models" if len(missing) > 1 else missing[0]
        train = "`zoo train MODEL --data DIR --config RECIPE`"
        if all(row.is_foreign for row in unscored):
            said.append(
                f"no mIoU for {which}: `zoo bench --file FILE` counts it with --data, and of another maker's file "
                "with --mean, --std and --classes"
            )
        elif group.dataset is None:
            untrained = any(row.weights_source == "random" for row in unscored)
            weights = f", after {train} or with `--weights MODEL=FILE`" if untrained else ", with the same `--weights`"
            count = "`zoo bench --models MODEL --data DIR --preset cityscapes`"
            said.append(f"no mIoU: accuracy was not asked for. To fill it: {count}{weights}.")
        elif group.quick and len(unscored) < len(good):
            said.append(
                f"no mIoU for {which}, not trained in quick: measured with random weights. To fill it: {train}, then "
                "`zoo bench --data DIR --preset cityscapes`; on these images `zoo bench --models MODEL --set "
                "train_models='[\"all\"]'`."
            )
        else:
            said.append(
                f"no mIoU for {which}: no trained weights were found. To fill it: {train}, then `zoo bench` again; "
                "or `zoo bench --weights MODEL=FILE`."
            )
    if under:
        named = models_of(under)
        which = f"all {len(named)} models" if len(named) == len(models_of(good)) > 1 else ", ".join(named)
        said.append(f"{UNDER} under the baseline, which answers every image with the same map: {which}")
    unchecked = models_of(one.row for one in fastest if not one.checked)
    if unchecked:
        which = "" if len(unchecked) == len(models_of(good)) else f" of {', '.join(unchecked)}"
        said.append(f"{FASTEST} accuracy{which} was not checked: no mIoU to hold against fp32")
    said += _hurt([row for row in good if row.hurt_classes])
    said += say_slower(slower_int8(good, hidden))
    made = grouped((f"{row.model} in {row.runtime}", row.int8 or "") for row in good if row.int8_note)
    said += [f"int8 of {line}" for line in made]
    if len({row.input_size for row in good}) > 1:
        said.append("several input sizes: mIoU is counted at the ground truth's full size for all")
    said += _uncertainty(group, [row for row in good if row.miou is not None])
    said += notes_on(good)
    machines = {row.machine_id for row in good}
    if len(machines) > 1:
        said.append(f"these rows come from {len(machines)} machines of this name: compare their latency with care")
    if any(row.miou is not None and not row.is_timed for row in good):
        said.append("rows without latency were scored alone; `zoo bench` times them")
    if group.rate_hz is not None:
        said.append(deadlines(group.rate_hz))
    elif any(row.pipeline_p50_s is not None and row.value("latency_p50_s") is None for row in good):
        said.append("rows without network latency are one graph from image to labels")
    if any(row.value("latency_p50_s") is not None and row.value("latency_p99_s") is None for row in good):
        said.append("p99 needs 100 samples; rows without it have fewer")
    uncounted = sorted({name for row in good for name in row.uncounted_ops})
    if uncounted:
        said.append(f"≥: the MAC counter does not know {', '.join(uncounted)}")
    if any(row.value("largest_batch") is not None and not row.largest_batch_is_limit for row in good):
        said.append("largest batch ≥: the rate stopped growing before memory ended")
    leaking = models_of(row for row in good if (row.value("memory_growth_bytes") or 0) > MAX_GROWTH_BYTES)
    if leaking:
        said.append(f"memory grew from call to call: {', '.join(leaking)}")
    return tuple(said)


def _hurt(rows: list[Row]) -> Iterator[str]:
    """Name the classes that lose too much: the column beside the rows is the first to go in a narrow terminal."""
    worst_first = sorted(rows, key=lambda row: -next(iter(row.hurt_classes.values())))
    for row in worst_first[:FEW]:
        yield f"{HURT} {row.model} {row.runtime} {row.precision} {row.hurt_text}"
    if left := worst_first[FEW:]:
        yield f"{HURT} of {counted(len(left), 'other row')} the worst class loses less"


def _uncertainty(group: Group, scored: list[Row]) -> Iterator[str]:
    """Say what the mIoUs of a table leave open."""
    if not scored:
        return
    several = any(row.seed_count > 1 for row in scored)
    if several:
        yield (
            "±: mean and sample standard deviation of mIoU over the seeds; speed and memory are those of the seed with "
            "the median pipeline p50"
        )
    if (
        any(row.seed_count == 1 and row.weights_source == "run" for row in scored) and not group.quick
    ):  # a smoke test claims nothing
        which = "seeds 1" if several else "one seed each"
        yield f"{which}: how far another training would be from it is not known; `zoo bench --seeds 3` measures that"
    drawn = sorted({row.miou_resampled for row in scored if row.seed_count < 2 and row.miou_resampled})
    if drawn:
        yield f"[ ]: 95 % interval of mIoU for these weights, by bootstrap over {' or '.join(drawn)}"
    best = max(scored, key=lambda row: row.miou or 0)
    near = [model for model in models_of(row for row in scored if tie(row, best, "miou")) if model != best.model]
    if near and not group.quick:
        yield (
            f"overlap: the mIoU of {', '.join(near)} is within interval or spread of the best, {best.model}'s; whether "
            "that is a tie `zoo compare A B` says, on the same images"
        )
    yield from dict.fromkeys(note for row in scored if (note := sharing(row)))


def models_of(rows: Iterable[Row]) -> list[str]:
    """Return the models of rows, each once."""
    return list(dict.fromkeys(row.model for row in rows))
