"""A checkpoint of MMSegmentation: where all of them lie, under which licences, and how most are fed."""

from __future__ import annotations

from typing import Any

from zoo.published.claims import CITYSCAPES_TERMS, UNKNOWN, Claim, Stated
from zoo.published.facts import FULL, KeyMap, Published

_REPOSITORY = "https://github.com/open-mmlab/mmsegmentation"
_FILES = "https://download.openmmlab.com/mmsegmentation/v0.5"


def mmseg(
    model: str, path: str, miou: float, key_map: KeyMap, *, config: str = "", licensed: bool = True, **facts: Any
) -> Published:
    """A row of one of its checkpoints.

    Args:
        model: The row's network.
        path: Of the file below those of its version 0.5.
        miou: As claimed.
        key_map: As in `Published`.
        config: Its folder among the configurations; empty: as the file's.
        licensed: The metafile there states a licence.
        facts: Other facts of `Published`.
    """
    config = config or path.partition("/")[0]
    stated = Stated(value="Apache-2.0", source=f"{_REPOSITORY}/blob/main/configs/{config}/metafile.yaml")
    row = {
        "tag": "mmseg",
        "file_name": path.rpartition("/")[2],
        "feeding": FULL,
        "code_licence": Stated(value="Apache-2.0", source=f"{_REPOSITORY}/blob/main/LICENSE"),
        "weights_licence": stated if licensed else UNKNOWN,
        "data_terms": CITYSCAPES_TERMS,
        "claim": Claim(miou=miou, protocol="whole", source=f"{_REPOSITORY}/tree/main/configs/{config}"),
    }
    return Published(model=model, url=f"{_FILES}/{path}", key_map=key_map, **row | facts)
