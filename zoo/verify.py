"""`zoo verify`: what is measured here against what is published of the same networks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from zoo.catalog import MODELS, select
from zoo.measure.macs import count
from zoo.models.build import build_shapes
from zoo.models.contract import deployed_parameters, training_logits
from zoo.score.reading import rows_of
from zoo.score.verifying import Condition, Line, conditions, verify_costs, verify_mious
from zoo.store import folder_to_read, scan

OnCounted = Callable[[int, int], None]
"""Called with the number of networks counted and of all."""


class Verified(NamedTuple):
    """Every published number beside its measured one, and the files that could not be read."""

    lines: tuple[Line, ...]
    warnings: tuple[str, ...]


def verify(
    patterns: Sequence[str] = ("all",), results: Path | str | None = None, on_counted: OnCounted | None = None
) -> Verified:
    """Count parameters and MACs now, read mIoUs from records, and hold them against what is published.

    Args:
        patterns: Which models of the table, as in `zoo list`.
        results: The folder of records; one that is not there has none. `None`: `results`, else those that come with
            zoo.
        on_counted: Told how far it is.

    Raises:
        UserError: no such model.
    """
    models = [spec.name for spec in select(patterns) if spec.name in MODELS]
    counted = count_all(conditions(models), on_counted)
    folder, said = folder_to_read(results)
    found = scan(folder)
    costs, mious = verify_costs(models, counted), verify_mious(models, rows_of(found.records))
    order = {name: place for place, name in enumerate(models)}
    return Verified(tuple(sorted([*costs, *mious], key=lambda line: order[line.model])), (*said, *found.warnings))


def count_all(asked: Sequence[Condition], on_counted: OnCounted | None = None) -> dict[Condition, int | None]:
    """Return parameters or MACs under each condition; of one network at a time there are shapes alone."""
    networks: dict[tuple[str, int, bool], list[Condition]] = defaultdict(list)
    for condition in asked:
        networks[condition.model, condition.outputs, condition.aux_heads].append(condition)
    counted: dict[Condition, int | None] = {}
    for done, ((model, outputs, aux_heads), alike) in enumerate(networks.items(), 1):
        module = build_shapes(MODELS[model], outputs)
        whole = _WithHeads(module) if aux_heads else module
        for condition in alike:
            if condition.input_size is None:
                counted[condition] = sum(value.numel() for _, value in deployed_parameters(whole))
            else:
                counted[condition] = count(whole, condition.input_size).mac_count
        if on_counted is not None:
            on_counted(done, len(networks))
    return counted


class _WithHeads(nn.Module):
    """A network with the heads that only training runs."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return training_logits(self.model, image)
