"""What a job names, made to run, and the images it runs on; imports no more than that takes."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from zoo import artifact, foreign
from zoo.bench.job import Job
from zoo.card import Built
from zoo.errors import UserError
from zoo.record import Weights
from zoo.runtimes import base, table
from zoo.spec import Size

ROTATION = 4
"""Seeded random inputs a clock rotates through."""
IMAGE_SEED = 0


def load(
    job: Job, image_size: Size | None = None, tell: artifact.Tell = artifact.untold
) -> tuple[base.Runnable, Weights, Built | None]:
    """Make the artifact a job names run.

    Args:
        job: Names it.
        image_size: Of the frames; `None`: the job's own.
        tell: Takes a line of progress, where it has to be built.

    Raises:
        UserError: as `artifact.load`; a file that takes frames of another size.
        ModelError: likewise.
        UnsupportedError: likewise.
        MemoryError: likewise.
    """
    size = image_size or job.image_size
    target = torch.device(job.device)
    if job.file is not None:
        file, card = job.file
        if card.network is not None:
            runnable = foreign.deploy(
                job.runtime,
                file,
                card.network,
                device=target,
                precision=job.precision,
                image_size=size,
                input_size=job.input_size or size,
                resize=job.resize,
                batch_size=job.batch_size,
            )
            return runnable, card.weights, card
        if any(side not in (0, given) for side, given in zip(card.input.shape[1:3], size, strict=True)):
            takes, given = (f"{height}x{width}" for height, width in (card.input.shape[1:3], size))
            raise UserError(f"{file} takes frames of {takes} and the dataset has {given}: export it for that size")
        runnable = table.load_file(job.runtime, file, device=target, precision=job.precision)
        return artifact.with_traits(runnable, card.traits), card.weights, card
    return artifact.load(_wanted(job, size), tell)


@dataclass(frozen=True)
class Program:
    """How a process that knows nothing yet comes to run an artifact."""

    snippet: base.Snippet
    files: tuple[Path, ...]
    """What it reads from disk."""
    given: bytes
    """What the snippet is given beside the image; empty where the file that ships is all it takes."""


def as_program(job: Job) -> Program:
    """The very snippet that `zoo export` prints; this package's code where there is no file, or more must be known.

    Raises:
        UserError: as `load`.
        ModelError: likewise.
        UnsupportedError: likewise.
        MemoryError: likewise.
    """
    threads = torch.get_num_threads()
    if not table.file_format(job.runtime) or (job.file is not None and job.file[1].network is not None):
        snippet = base.Snippet(
            imports=f"import pickle\nimport torch\nfrom {__name__} import load\n",
            load=f"torch.set_num_threads({threads})\nrunnable = load(pickle.loads(given))[0]\n",
            call="labels = runnable.predict(torch.from_numpy(image))[0].numpy()\n",
        )
        file = job.file[0] if job.file is not None else job.source.file
        return Program(snippet, () if file is None else (file,), pickle.dumps(job))
    file = job.file[0] if job.file is not None else artifact.build(_wanted(job, job.image_size))[0]
    loaded = table.load_file(job.runtime, file, device=torch.device(job.device), precision=job.precision)
    shape = (job.batch_size, *job.image_size, 3)
    return Program(table.snippet(job.runtime, file, loaded.build.options, shape, threads), (file,), b"")


def _wanted(job: Job, image_size: Size) -> artifact.Wanted:
    return artifact.Wanted(
        spec=job.spec,
        classes=job.classes,
        source=job.source,
        dataset=job.dataset,
        runtime=job.runtime,
        precision=job.precision,
        device=torch.device(job.device),
        image_size=image_size,
        input_size=job.input_size or image_size,
        resize=job.resize,
        batch_size=job.batch_size,
        memory_format=job.config.memory_format,
        compile_mode=job.config.compile_mode,
        cache=job.cache,
    )


def random_images(job: Job) -> list[torch.Tensor]:
    """Batches to rotate through, of a few seeded random frames; one alone of a large size, or the host runs full."""
    generator = np.random.Generator(np.random.PCG64(IMAGE_SEED))
    frames = torch.from_numpy(generator.integers(0, 256, (ROTATION, *job.image_size, 3), dtype=np.uint8))
    order = torch.arange(job.batch_size)
    count = ROTATION if job.batch_size <= ROTATION else 1
    return [frames[(order + shift) % ROTATION] for shift in range(count)]
