"""What is known of a published checkpoint: where it lies, whose it is, how it is read and fed. Free of torch."""

from __future__ import annotations

import re
from collections.abc import Collection

from zoo.labels import CITYSCAPES
from zoo.published.claims import UNKNOWN, Claim, Stated
from zoo.spec import IMAGENET_MEAN, IMAGENET_STD, DatasetSpec, Facts, Feeding

KeyMap = tuple[tuple[str, str], ...]
"""Regular expressions and their replacements, each applied to every name, in order."""


_WRAPPED = "module."  # DataParallel's, around the network that the table's names are of


FULL = Feeding(mean=IMAGENET_MEAN, std=IMAGENET_STD, input_size=(1024, 2048))
"""As most are fed."""


class Published(Facts):
    """One published checkpoint of one row of the zoo."""

    model: str
    tag: str
    """Whose it is, such as `zh320`: one of a model's checkpoints."""
    file_name: str
    """As it is kept on this machine."""
    url: str
    in_folder: bool = False
    """The URL is of a folder on the web, where the file has the name `file_name`: people fetch it, no program."""
    sha256: str | None = None
    """Of the file; null where nobody stated it."""
    byte_count: int | None = None
    key_map: KeyMap = ()
    """Names in the file → names of the row's network."""
    left_out: tuple[str, ...] = ()
    """Regular expressions of names in the file, before they are mapped, that the deployed network has no use for."""
    zeroed: tuple[str, ...] = ()
    """Regular expressions of names of the row's network that are zero, since the file has no tensor for them: biases
    that the code it is of leaves out."""
    classes: DatasetSpec = CITYSCAPES
    """What its output channels are."""
    channels: tuple[int, ...] | None = None
    """Which of `classes` each output channel is (255: none); `None`: channel k is class k."""
    feeding: Feeding
    trained_on: str = "Cityscapes fine train"
    code_licence: Stated = UNKNOWN
    weights_licence: Stated = UNKNOWN
    data_terms: Stated = UNKNOWN
    claim: Claim | None = None

    def name_of(self, name: str) -> str | None:
        """The row's name of a tensor that the file has under `name`; `None` for one it has no use for."""
        if any(re.search(pattern, name) for pattern in self.left_out):
            return None
        for pattern, replacement in self.key_map:
            name = re.sub(pattern, replacement, name)
        return name

    def names_of(self, names: Collection[str]) -> dict[str, str]:
        """The row's names of all tensors of a file that it has a use for; what DataParallel puts before all is off."""
        wrapped = all(name.startswith(_WRAPPED) for name in names)
        new = {name: self.name_of(name.removeprefix(_WRAPPED) if wrapped else name) for name in names}
        return {name: mapped for name, mapped in new.items() if mapped is not None}

    def is_zero(self, name: str) -> bool:
        """Whether a tensor of the row's network is zero, since the file has none for it."""
        return any(re.search(pattern, name) for pattern in self.zeroed)

    @property
    def num_outputs(self) -> int:
        """Channels of its logits."""
        return self.classes.num_classes if self.channels is None else len(self.channels)

    @property
    def id(self) -> str:
        """`model:tag`."""
        return f"{self.model}:{self.tag}"
