"""zoo: which semantic-segmentation model should I deploy on my hardware, and can I trust the answer?

Everything public is imported on first use (PEP 562), so that `import zoo` stays light.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "BenchConfig": "zoo.config:BenchConfig",
    "TrainConfig": "zoo.config:TrainConfig",
    "UserError": "zoo.errors:UserError",
    "compare": "zoo.report.compare:compare",
    "create_model": "zoo.models.build:create_model",
    "evaluate_model": "zoo.evaluate:evaluate_model",
    "evaluate_predictions": "zoo.label_maps:evaluate_predictions",
    "info": "zoo.report.info:info",
    "import_dataset": "zoo.data.importers.writing:import_dataset",
    "evaluation_mode": "zoo.modes:evaluation_mode",
    "examine": "zoo.doctor:examine",
    "examine_machine": "zoo.measure.checkup.examine:examine_machine",
    "export_model": "zoo.export:export_model",
    "leaderboard": "zoo.report.leaderboard:leaderboard",
    "list_models": "zoo.catalog:list_models",
    "load_config": "zoo.config:load_config",
    "load_predictor": "zoo.predict.predictor:load_predictor",
    "load_results": "zoo.report.frame:load_results",
    "merge": "zoo.exchange:merge",
    "open_dataset": "zoo.data.layout:open_dataset",
    "Limit": "zoo.score.limits:Limit",
    "Request": "zoo.bench.request:Request",
    "pick": "zoo.picker.pick:pick",
    "predict_images": "zoo.predict.pictures:predict_images",
    "prepare": "zoo.data.prepared:prepare",
    "render": "zoo.report.leaderboard:render",
    "repeat_run": "zoo.train.repeat:repeat_run",
    "run_bench": "zoo.bench.sweep:run_bench",
    "share": "zoo.exchange:share",
    "train_model": "zoo.train.loop:train_model",
    "write_dataset": "zoo.data.synthetic:write_dataset",
}

__all__ = ["__version__", *_PUBLIC]  # noqa: PLE0604  its keys are strings


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}; it has {', '.join(__all__)}")
    module, _, attribute = _PUBLIC[name].partition(":")
    value = globals()[name] = getattr(importlib.import_module(module), attribute)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
