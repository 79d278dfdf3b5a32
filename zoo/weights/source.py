"""One set of weights: where they are, what they were trained for, and how they are fed. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from zoo.errors import UserError, counted
from zoo.published.facts import Published
from zoo.record import Weights, WeightsKind
from zoo.spec import FED, IGNORE_INDEX, DatasetSpec, Facts, Feeding, ModelSpec, Resize, Size


class Brought(NamedTuple):
    """What a model of your own holds when it is built."""

    sha256: str | None
    """Of its tensors, the same from call to call; `None` where they are not."""
    differing: str = ""
    """First tensor that was another in a second call."""


class Source(Facts):
    """One set of weights: where they are, what they were trained for, and how they are fed."""

    kind: WeightsKind
    file: Path | None = None
    sha256: str | None = None
    """Of the file's bytes; of `own` weights, of the tensors; null for random ones."""
    tag: str = ""
    url: str = ""
    licence: str = ""
    """As stated, or inherited from the weights that training began from; empty where it is not known."""
    trained_on: str | None = None
    """Name of the dataset."""
    num_classes: int | None = None
    """K of the network; `None`: that of the dataset."""
    classes: DatasetSpec | None = None
    """What the network's channels are; `None`: not known, then those of the dataset."""
    train_ids: tuple[int, ...] | None = None
    """Which class of the dataset at hand each channel is (255: none of them); `None`: they are the same."""
    published: Published | None = None
    """Of a published checkpoint: what its file calls its tensors, and what its channels are."""
    feeding: Feeding | None = None
    """`None`: not known, then as the architecture and the dataset say."""
    recipe: str = "none"
    recipe_hash: str | None = None
    step_count: int | None = None
    seed: int | None = None
    pretrained: str = ""
    init: str = ""
    init_sha256: str | None = None
    notes: tuple[str, ...] = ()
    """Why these and what else there was."""
    missing: str = ""
    """Of random weights that nobody asked for: how to have others."""

    def facts(self, sha256: str | None, notes: Sequence[str] = ()) -> Weights:
        """As a record keeps them; `sha256` of their tensors, `notes` of their reading."""
        shared = set(Weights.model_fields) & set(Source.model_fields) - {"sha256", "notes"}
        return Weights(
            source=self.kind, sha256=sha256, notes=tuple(notes), **{key: getattr(self, key) for key in shared}
        )

    @property
    def of_hub(self) -> bool:
        """Whether they lie on a hub, to be read by its library."""
        return self.kind == "published" and self.published is None

    @property
    def input_size(self) -> Size | None:
        """What the network saw in training; `None`: the frame's own size, or not known."""
        return None if self.feeding is None else self.feeding.input_size

    @property
    def resize(self) -> Resize:
        """How frames were brought to it."""
        return "fit" if self.feeding is None else self.feeding.resize

    @property
    def said(self) -> str:
        """In one line, for a person: which they are, and what else there was."""
        steps = counted(self.step_count or 0, "step")
        what = {
            "random": "random weights, which have no accuracy",
            "own": "the weights it brings itself",
            "published": f"published weights {self.tag}",
            "file": f"weights of the file {self.file}",
            "run": f"weights of the run {self.recipe} ({steps}, seed {self.seed}, {self.trained_on})",
        }[self.kind]
        where = f", {self.file}" if self.file is not None and self.kind in {"run", "published"} else ""
        return "; ".join([what + where, *self.notes, *([self.missing] if self.missing else [])])

    def fed(self, spec: ModelSpec, dataset: DatasetSpec) -> ModelSpec:
        """How the network is fed and read with these weights on a dataset.

        What the weights were trained with goes before what the dataset says, and that before the architecture's own.
        """
        spec = dataset.adapt(spec)
        changes: dict[str, object] = {}
        if self.feeding is not None:
            known = {key: getattr(self.feeding, key) for key in FED}
            changes = {key: value for key, value in known.items() if value is not None}
        if self.train_ids is not None:
            channels = range(len(self.train_ids)) if spec.train_ids is None else spec.train_ids
            changes["train_ids"] = tuple(
                IGNORE_INDEX if channel == IGNORE_INDEX else self.train_ids[channel] for channel in channels
            )
        return spec.model_copy(update=changes)

    def how_fed(self, spec: ModelSpec, dataset: DatasetSpec) -> dict[str, Any]:
        """What `fed` decides, as plain values for a hash."""
        return self.fed(spec, dataset).model_dump(mode="json", include={*FED, "train_ids"})


def require_weights(source: Source, model: str) -> Source:
    """Refuse random weights where trained ones are needed.

    Raises:
        UserError: with the line that says how to have some.
    """
    if source.kind == "random":
        raise UserError(f"{model}: {source.missing or 'random weights say nothing; name others with --weights'}")
    return source
