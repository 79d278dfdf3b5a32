"""Checkpoints and run folders for tests, without training and without torch."""

import numpy as np
from safetensors.numpy import save_file

from zoo.checkpoint import FACTS_KEY, CheckpointFacts, run_folder
from zoo.spec import ModelSpec


def facts(config, **changes):
    """What a checkpoint of the network `net` says of itself."""
    values = {
        "model": "net", "num_classes": 4, "dataset": "streets", "fingerprint": "f" * 16, "config": config,
        "recipe_hash": config.recipe_hash, "step": config.steps, "complete": True, "precision": "fp32", "zoo": "0",
        "torch": "0",
    }  # fmt: skip
    return CheckpointFacts(**values | changes)


def spec(name, **changes):
    """A model that cannot be built."""
    return ModelSpec(name=name, builder="none:none", family="none", **changes)


def leave(runs, dataset, config, *, network=None, **changes):
    """Leave the folder of a run by a recipe, with weights of no network; `changes` of what they say of themselves."""
    folder = run_folder(runs, network or spec("net"), dataset, config)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("best", "last"):
        known = {"fingerprint": dataset.fingerprint(), "dataset": dataset.name, "complete": name == "last", **changes}
        text = facts(config, **known).model_dump_json()
        save_file({"w": np.zeros(3, np.float32)}, folder / f"{name}.safetensors", metadata={FACTS_KEY: text})
    return folder
