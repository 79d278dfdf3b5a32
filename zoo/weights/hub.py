"""The weights of a hub's model as a source. Free of torch."""

from __future__ import annotations

from zoo.data.layout import Dataset
from zoo.data.reading import frame_size
from zoo.hub.models import hub_weights
from zoo.spec import Feeding, ModelSpec, Size
from zoo.weights.source import Source


def hub_source(spec: ModelSpec, dataset: Dataset | None = None) -> Source:
    """Find the weights of a hub's model, and say how its image processor feeds it.

    Args:
        spec: A hub's model.
        dataset: Whose frames it is fed with, where their size decides what it sees; `None`: not known.

    Raises:
        UserError: as `hub.models.hub_weights`.
    """
    found = hub_weights(spec)
    processor = found.processor
    frame = _frame(dataset) if dataset is not None and processor.short_side is not None else None
    notes = [f"fed: {processor.said(frame)}", *found.notes]
    if processor.window is not None:
        side = processor.window
        notes.append(f"it reads frames by windows: zoo eval --window {side}x{side} does")
    return Source(
        kind="published",
        file=found.file,
        sha256=found.sha256,
        tag=spec.hub.partition(":")[0],
        url=found.url,
        licence=found.licence,
        trained_on=found.trained_on,
        num_classes=found.num_classes,
        classes=found.classes,
        feeding=Feeding(
            mean=processor.mean,
            std=processor.std,
            channel_order=processor.channel_order,
            input_size=processor.size_of(frame),
            resize=processor.resize,
        ),
        recipe="external",
        notes=tuple(notes),
    )


def _frame(dataset: Dataset) -> Size:
    """`(height, width)` of most frames of the split that is scored."""
    splits = dataset.splits()
    return frame_size(dataset, "val" if "val" in splits else splits[0])
