"""What a worker looks at before there is a cell: the machine's devices, what they run, what a model of your own is."""

from __future__ import annotations

from collections.abc import Callable

from zoo import artifact
from zoo.bench.job import Job, Survey
from zoo.catalog import MODELS
from zoo.config import ALL_CUDA, INSTALLED
from zoo.errors import ModelError, UserError
from zoo.measure import device
from zoo.models.build import build_model
from zoo.runtimes import table
from zoo.spec import Size
from zoo.weights.source import Brought

Report = Callable[[str], None]
"""Takes a line of progress."""


def devices(job: Job, _report: Report) -> tuple[str, ...]:
    """Name the devices of this machine that the job's means; none where it has none."""
    if job.device == ALL_CUDA:
        return device.cuda_devices()
    try:
        return (str(device.resolve_device(job.device)),)
    except UserError:
        return ()


def survey(job: Job, _report: Report) -> Survey:
    """Resolve and describe the device; try a model that is not of the table on a small image."""
    target = device.resolve_device(job.device)
    if job.spec.name not in MODELS and job.file is None:
        _try(job)
    asked = list(table.RUNTIMES if INSTALLED in job.config.runtimes else job.config.runtimes)
    if job.file is not None and INSTALLED in job.config.runtimes:
        asked = [runtime for runtime in asked if table.file_format(runtime) == job.file[0].suffix]
    missing = {runtime: reason for runtime in asked if (reason := table.why_missing(runtime, target))}
    present = [runtime for runtime in asked if runtime not in missing]
    unsupported = {
        (runtime, precision): reason
        for runtime in present
        for precision in job.config.precisions
        if (reason := table.why_unsupported(runtime, target, precision))
    }
    software = {runtime: device.software(target, table.version(runtime)) for runtime in present}
    files = frozenset(runtime for runtime in present if table.file_format(runtime))
    return Survey(str(target), device.probe(target), software, files, missing, unsupported)


def _try(job: Job) -> None:
    """See that a model of your own keeps the contract at some size; whether it takes each is for its cells to say."""
    wanted = (job.input_size,) if job.input_size else job.config.input_sizes or (job.image_size,)
    trials: list[tuple[Size, ...]] = [(), *((size,) for size in wanted)]
    for number, sizes in enumerate(trials, 1):
        try:
            build_model(job.spec, job.classes.num_classes, sizes=sizes)
            return
        except ModelError:  # it may be one for certain sizes alone
            if number == len(trials):
                raise


def brought(job: Job, _report: Report) -> Brought:
    """See what a model of your own holds when it is built."""
    return artifact.brought(job.spec, job.classes.num_classes)
