"""What a node is asked first: whether its Python, its libraries and its zoo are the driver's.

This module travels to the node as source, since a node may have another zoo or none; there it imports what is there.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import platform

LIBRARIES = ("torch", "torchvision", "timm", "segmentation_models_pytorch")
"""What networks are built of: another version may be another network."""


def versions() -> dict[str, str]:
    """Return the versions that have to be the same everywhere; empty where something is not installed.

    What follows `+` in one says what it was built for (`+cpu`, `+cu130`), which may differ.
    """
    found = {"Python": ".".join(platform.python_version_tuple()[:2])}
    for library in LIBRARIES:
        try:
            found[library] = importlib.metadata.version(library).partition("+")[0]
        except importlib.metadata.PackageNotFoundError:
            found[library] = ""
    try:
        found["zoo"] = importlib.import_module("zoo").__version__
    except ImportError:
        found["zoo"] = ""
    return found


def look(expected: dict[str, str], code: str, needs: bytes) -> str:
    """Say in a line why this node is not fit; an empty one says that it is.

    Args:
        expected: `versions()` of the driver.
        code: Hash of the driver's zoo (`identity.package_sha256`).
        needs: What else it has to have, a pickled `zoo.fleet.needs.Needs`.
    """
    here = versions()
    for name, version in expected.items():
        if here[name] != version:
            return f"{name} is {here[name] or 'not installed'} there and {version or 'not installed'} here"
    try:
        is_same = importlib.import_module("zoo.identity").package_sha256() == code
    except (ImportError, AttributeError):  # an older one that cannot tell
        is_same = False
    if not is_same:
        return f"the sources of zoo {here['zoo']} are not the same there as here"
    said: str = importlib.import_module("zoo.fleet.needs").why_unfit(needs)
    return said
