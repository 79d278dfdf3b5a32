"""What a node has to have beside the driver's code before it may do anything: its data, its models' sources."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from zoo.cache import cache_folder
from zoo.catalog import find
from zoo.data import synthetic
from zoo.data.layout import DATASET_VARIABLE, Dataset, open_dataset
from zoo.errors import UserError
from zoo.identity import network_sha256
from zoo.spec import ModelSpec


@dataclass(frozen=True)
class Needs:
    """What travels to a node to be looked for there."""

    data: Path | None = None
    """Where the driver has its data; `None`: none is needed."""
    fingerprint: str = ""
    """Of the data."""
    synthetic: bool = False
    """Whether it was drawn, and can be drawn there."""
    models: tuple[tuple[str, str], ...] = ()
    """Models that are not of the table, as `catalog.find` takes them, and the hashes of what builds them."""
    cache: Path | None = None


def needs_of(dataset: Dataset | None, specs: Iterable[ModelSpec], cache: Path | None) -> Needs:
    """What a node needs to measure or train these models on this data."""
    models = tuple((source_of(spec), network_sha256(spec)) for spec in specs if spec.own or spec.hub)
    if dataset is None:
        return Needs(models=models, cache=cache)
    return Needs(dataset.root, dataset.fingerprint(), dataset.synthetic, models, cache)


def source_of(spec: ModelSpec) -> str:
    """As `catalog.find` takes a model from any working directory."""
    return spec.hub or (spec.builder if spec.own and ".py:" in spec.builder else spec.name)


def find_data(needs: Needs) -> Path | None:
    """Find the data on this machine: where the driver has it, where `CITYSCAPES_DATASET` says, or drawn.

    Raises:
        UserError: it is at none of these.
    """
    if needs.data is None:
        return None
    tried = []
    for place in _places(needs):
        try:
            found = open_dataset(place, cache=needs.cache)
            fingerprint = found.fingerprint()
        except UserError as error:
            tried.append(str(error))
            continue
        if fingerprint == needs.fingerprint:
            return found.root
        tried.append(f"{place} holds other files (fingerprint {fingerprint})")
    raise UserError(
        f"the data with fingerprint {needs.fingerprint} is not there ({'; '.join(tried)}): put it at the same path, or "
        f"start Ray there with {DATASET_VARIABLE} set"
    )


def _places(needs: Needs) -> Iterator[Path]:
    assert needs.data is not None
    yield needs.data
    if given := os.environ.get(DATASET_VARIABLE):
        yield Path(given)
    if needs.synthetic:
        yield synthetic.embedded(needs.cache or cache_folder())


def why_unfit(content: bytes) -> str:
    """Say in a line what of a pickled `Needs` this machine lacks; an empty one says nothing."""
    needs: Needs = pickle.loads(content)  # noqa: S301  Ray itself pickles what it sends
    try:
        find_data(needs)
        for source, sha256 in needs.models:
            if network_sha256(find(source)) != sha256:
                return f"{source} is another file there: copy yours to the same path"
    except UserError as error:
        return str(error)
    return ""
