"""What a file that somebody exported decides of the sweep that measures it."""

from __future__ import annotations

from typing import Any

from zoo.card import Card
from zoo.config import BenchConfig
from zoo.data.layout import Dataset
from zoo.errors import UserError
from zoo.foreign import match, plan_network
from zoo.spec import ModelSpec


def spec_of(card: Card) -> ModelSpec:
    """A model's name for a file, for tables; nothing is built of it."""
    return ModelSpec(name=card.model, builder="none:none", family=card.family, url=card.paper, licence=card.licence)


def config_of(card: Card, config: BenchConfig) -> tuple[BenchConfig, list[str]]:
    """What a file decides by itself, and what to say of it; precision and runtime are the card's unless asked for."""
    batch_size, *image_size, _ = card.input.shape
    asked, notes = config.model_fields_set, list[str]()
    changes: dict[str, Any] = {
        "models": (card.model,),
        "batch_size": batch_size,
        "image_size": tuple(image_size) if all(image_size) else config.image_size,
        "input_sizes": (card.input_size,),
        "resize": card.resize,
        "train_missing": False,
        "runtimes": config.runtimes if "runtimes" in asked else (card.runtime,),
        "precisions": config.precisions if "precisions" in asked else (card.precision,),
    }
    if card.network is not None:
        more, notes = plan_network(card.network, card.file, card.class_names, config)
        changes |= more
    return config.model_copy(update=changes), notes


def fitted(card: Card, config: BenchConfig, dataset: Dataset | None) -> tuple[Card, list[str]]:
    """See that a file has one batch size and its channels mean what its card says, and bring them to the dataset's."""
    if config.throughput:
        raise UserError(
            "throughput = true needs a file for each batch size and a --file is one; set throughput = false, or leave "
            "--file away"
        )
    if config.rate_hz is not None and config.batch_size > 1:
        raise UserError(
            f"rate_hz = {config.rate_hz:g} makes a call for each frame and {card.file} takes {config.batch_size}; "
            "export it with --batch 1, or leave --rate away"
        )
    if dataset is None or not card.class_names:
        return card, []
    if card.network is not None:
        network, notes = match(card.network, card.class_names, card.file, dataset.spec)
        return card.model_copy(update={"network": network}), notes
    if card.class_names != dataset.spec.class_names:
        raise UserError(
            f"{card.file} answers with {len(card.class_names)} classes ({', '.join(card.class_names[:3])}, …), "
            f"{dataset.name} has {dataset.spec.num_classes} ({', '.join(dataset.spec.class_names[:3])}, …): "
            "name the dataset it was trained for with --data, or measure speed alone: --preset latency, without --data"
        )
    return card, []
