"""Where a hub's model lies: a folder that `save_pretrained` wrote, or a repository of the Hugging Face hub.

A repository's files are fetched into the cache of Hugging Face (`HF_HOME`), each when it is wanted and all as they were
when the configuration was fetched: what is there is taken without asking the hub, until
`hf download` brings newer ones.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal, NamedTuple

import huggingface_hub

from zoo.errors import UserError
from zoo.faults import how_to_read, reason

Library = Literal["hf", "smp"]
LIBRARIES: tuple[Library, ...] = ("hf", "smp")
CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""In the order in which the libraries look for them."""

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


_missing: set[tuple[str, str]] = set()  # so that a network that is not there is waited for once


class Place(NamedTuple):
    """A folder of this machine, or a repository of the hub."""

    library: Library
    folder: Path | None
    repository: str = ""

    @property
    def name(self) -> str:
        """As tables show it: a repository's id, or a folder's name without the way there."""
        return f"{self.library}:{self.repository or (self.folder and self.folder.name)}"

    @property
    def whole(self) -> str:
        """As `read_place` takes it in any working directory."""
        return f"{self.library}:{self.repository or self.folder}"

    def file(self, name: str) -> Path | None:
        """A file of it on this machine; `None`: there is none, or none in the cache and the hub cannot be asked.

        Raises:
            UserError: no such repository, or it is not open to this user.
        """
        if self.folder is not None:
            return self.folder / name if (self.folder / name).is_file() else None
        commit = None if name == CONFIG else self.required(CONFIG).parent.name
        cached = huggingface_hub.try_to_load_from_cache(self.repository, name, revision=commit)
        if isinstance(cached, str):
            return Path(cached)
        if (self.repository, name) in _missing:
            return None
        try:
            return Path(huggingface_hub.hf_hub_download(self.repository, name, revision=commit))
        except huggingface_hub.errors.EntryNotFoundError:  # of the repository, or of the cache without a network
            _missing.add((self.repository, name))
            return None
        except huggingface_hub.errors.GatedRepoError as error:
            raise UserError(
                f"{self.name}: its owner wants his terms accepted: do so on https://huggingface.co/{self.repository}, "
                "then sign in with `hf auth login`"
            ) from error
        except (huggingface_hub.errors.RepositoryNotFoundError, huggingface_hub.errors.HFValidationError) as error:
            raise UserError(
                f"{self.name}: no folder {self.repository!r} here, and no such repository on the hub (or a private "
                "one: sign in with `hf auth login`)"
            ) from error
        except (huggingface_hub.errors.HfHubHTTPError, OSError) as error:
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UserError(f"{self.name}: the hub does not give {name} ({said[:200]}); try again later") from error

    def required(self, *names: str) -> Path:
        """The first of these files that is there.

        Raises:
            UserError: as `file` does, and where none is there.
        """
        for name in names:
            if (found := self.file(name)) is not None:
                return found
        what = names[0] if len(names) == 1 else "weights"
        if self.folder is not None:
            among = "" if len(names) == 1 else f" ({', '.join(names)})"
            raise UserError(
                f"{self.name}: no {what}{among} in {self.folder}; a hub's model is a folder that save_pretrained wrote"
            )
        raise UserError(
            f"{self.name}: its {what} is not in the cache of Hugging Face and cannot be had from the hub (offline, or "
            f"the repository has none): fetch it once with a network, `hf download {self.repository}`, or name a folder"
        )

    def json(self, path: Path) -> dict[str, Any]:
        """Read one of its JSON files.

        Raises:
            UserError: it cannot be read.
        """
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"{self.name}: cannot read {path}: {reason(error)}; {how_to_read(error)}") from error
        except ValueError as error:
            raise UserError(f"{self.name}: {path} is damaged ({str(error)[:100]}); fetch it again") from error
        if not isinstance(value, dict):
            raise UserError(f"{self.name}: {path} is damaged (no JSON object); fetch it again")
        return value

    @property
    def url(self) -> str:
        """Of the repository, as it was when its configuration was fetched; empty for a folder."""
        if self.folder is not None:
            return ""
        return f"https://huggingface.co/{self.repository}/tree/{self.required(CONFIG).parent.name}"

    def weights(self) -> tuple[Path, ...]:
        """Files of its weights; of several parts, the index first.

        Raises:
            UserError: there are none, or not all parts of them.
        """
        first = self.required(*WEIGHTS)
        if first.suffix != ".json":
            return (first,)
        parts = self.json(first).get("weight_map")
        names = sorted({*parts.values()}) if isinstance(parts, dict) else []
        return (first, *(self.required(name) for name in names))


def read_place(name: str) -> Place | None:
    """Read `hf:…` or `smp:…`; `None` for another name of a model.

    Raises:
        UserError: neither a folder nor a repository's id.
    """
    library, colon, given = name.partition(":")
    if not colon or library not in LIBRARIES:
        return None
    path = Path(given).expanduser()
    if given and path.is_dir():
        return Place(library, path.resolve())
    if not _REPOSITORY.fullmatch(given):
        raise UserError(f"{name!r}: no folder {given!r}; give {library}:FOLDER or {library}:OWNER/NAME of the hub")
    return Place(library, None, given)
