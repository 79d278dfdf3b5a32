"""What makes a network this one, and what makes a file of it: hashes of the sources that decide, found by imports.

Sources are read and never run, so an import that no statement spells (`importlib.import_module`) is not followed.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from zoo.errors import ModelError, UserError
from zoo.faults import reason
from zoo.files import short_hash
from zoo.spec import FED, ModelSpec

_PACKAGE = Path(__file__).parent
_FED = ("args", *FED, "divisor", "align_corners", "train_ids")
"""How a row's network is built, fed and read; all else describes it, `pretrained` too: that is the weights' fact."""
_BY_NAME = (_PACKAGE / "__init__.py", _PACKAGE / "catalog.py")
"""What builds any row, from a string."""
_INSTALLED = {"site-packages", "dist-packages"}
_WRITERS = ("torch", "triton", "onnx", "onnx-ir", "onnxscript", "onnxruntime", "onnxruntime-gpu")
"""Libraries that write files; those that networks are built of are the network's."""

Follow = Callable[[str], Mapping[str, Path] | None]
"""Dotted name of an import → modules of it that count and their files, `None` for a library."""


def network_sha256(spec: ModelSpec) -> str:
    """Hash what builds a network: its builder, how it is fed and read, the sources, and the versions of libraries.

    Names, papers, tags and licences are not part of it, nor is torch, which stands beside it in a cell's key. A user's
    own network says in its source how it is fed; its file is known by its content, wherever it lies.

    Raises:
        ModelError: a source of a model of your own cannot be read as Python.
        UserError: its file is gone.
    """
    module, function = spec.builder.rsplit(":", 1)
    facts: dict[str, object] = {"function": function}
    if spec.own:
        modules, outside = _own(spec)
        builder = _own_file(spec)
        sources = {"" if file == builder else name: _sha256(file) for name, file in modules.items()}
    else:
        sources, outside = _row(module)
        fed = {*_FED, "min_side"} if spec.min_side > 1 else {*_FED}  # the hash of all others stays what it was
        facts |= {"module": module.rpartition(".")[2], "fed": spec.model_dump(mode="json", include=fed)}
    versions: dict[str, str] = {}
    for library in outside:
        versions |= _versions(library)
    return short_hash({**facts, "sources": sources, "versions": versions})


def own_modules(spec: ModelSpec) -> dict[str, Path]:
    """Name and file of every module that a user's own builder is made of: its own, and those it imports, recursively.

    They are those beside it (its folder, or the working directory for `package.module:build`) and those on Python's
    path that are not installed; of a builder that is, those of its own package.

    Raises:
        ModelError: one cannot be read as Python.
        UserError: the builder's file is gone.
    """
    return _own(spec)[0]


def module_file(module: str) -> Path | None:
    """Source file of a dotted module, found without importing it or its packages; the working directory counts."""
    return _on_the_way(module, Path.cwd()).get(module)


def is_beside(top: str, folder: Path) -> bool:
    """Whether a file in `folder` that imports `top` means its neighbour, as a script would."""
    return top != "zoo" and _find_top(top, folder)[1]


@functools.cache
def makers() -> str:
    """Hash of what turns a model into a file: this package's own code, and the versions of the libraries that write.

    That code is what `zoo.export` and the runtimes import, directly or not, and computes with torch.
    """
    sources = {name: _sha256(file) for name, file in makers_modules().items()}
    return short_hash([sources, *(package_version(package) for package in _WRITERS)], 32)


def makers_modules() -> dict[str, Path]:
    """Name and file of every module of this package that decides, beside the model's own code, what is in a file."""
    files = [_PACKAGE / "export.py", *(_PACKAGE / "runtimes").glob("*.py")]
    return _reached({_zoo_name(file): file for file in files}, _computing)[0]


@functools.cache
def package_sha256() -> str:
    """Hash of every source of this package: equal where two machines run the same checkout, whatever is installed."""
    files = {_zoo_name(file): _sha256(file) for file in _PACKAGE.rglob("*.py")}
    return short_hash(files, 16)


def package_version(package: str) -> str | None:
    """Version of an installed package; `None` where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _own(spec: ModelSpec) -> tuple[dict[str, Path], set[str]]:
    module = spec.builder.rpartition(":")[0]
    file = _own_file(spec)
    if module.endswith(".py"):
        folder, start = file.parent, {file.stem.replace(".", "_"): file}
    else:
        folder = Path.cwd()
        start = _on_the_way(module, folder)
    home = module.partition(".")[0] if _INSTALLED & set(file.parts) else ""
    try:
        return _reached(start, functools.partial(_users, folder=folder, home=home))
    except UserError as error:
        raise ModelError(f"{spec.name}: {error}") from error


def _own_file(spec: ModelSpec) -> Path:
    module = spec.builder.rpartition(":")[0]
    file = Path(module) if module.endswith(".py") else module_file(module)
    if file is None or not file.is_file():
        raise UserError(f"{spec.name}: its source is gone; give path/to/net.py:build or package.module:build again")
    return file


@functools.cache
def _row(module: str) -> tuple[dict[str, str], set[str]]:
    """Hashes of the sources of a row's builder, by module, and the libraries it adapts."""
    modules, outside = _reached({module: _zoo_file(module)}, _rows)
    return {name: _sha256(file) for name, file in modules.items()}, outside


def _reached(start: Mapping[str, Path], follow: Follow) -> tuple[dict[str, Path], set[str]]:
    """Modules and their files that importing `start` reaches, and the libraries outside, torch and Python's own apart.

    Raises:
        UserError: one cannot be read as Python.
    """
    modules, outside = dict(start), set()
    waiting = list(start)
    while waiting:
        name = waiting.pop()
        package = name if modules[name].name == "__init__.py" else name.rpartition(".")[0]
        for imported in _imports(modules[name], package):
            found = follow(imported)
            if found is None:
                outside.add(imported.partition(".")[0])
                continue
            new = {one: file for one, file in found.items() if one not in modules}
            modules |= new
            waiting += new
    return modules, outside - sys.stdlib_module_names


def _users(name: str, *, folder: Path, home: str) -> Mapping[str, Path] | None:
    """What counts of an import that a user's source makes."""
    top = name.partition(".")[0]
    if top == "zoo":
        return _rows(name)
    found, beside = _find_top(top, folder)
    if found is None or not (beside or top == home or not _is_installed(found)):
        return None
    return _on_the_way(name, folder)


def _rows(name: str) -> Mapping[str, Path] | None:
    """What counts of an import that a row's source makes: networks, and what else of this package computes."""
    if name.partition(".")[0] != "zoo":
        return None
    file = _zoo_file(name)
    if file in _BY_NAME:
        return {_zoo_name(network): network for network in (_PACKAGE / "models").glob("*.py")}
    if name.startswith("zoo.models.") and file.is_file():
        return {name: file}
    return _computing(name)


def _computing(name: str) -> Mapping[str, Path] | None:
    """What counts of an import that this package's own code makes: modules that import torch, directly or not."""
    if name.partition(".")[0] != "zoo":
        return None
    return {name: _zoo_file(name)} if _computes(name) else {}


@functools.cache
def _computes(name: str) -> bool:
    def follow(imported: str) -> Mapping[str, Path] | None:
        if imported.partition(".")[0] != "zoo":
            return None
        file = _zoo_file(imported)
        return {imported: file} if file.is_file() else {}

    file = _zoo_file(name)
    return file.is_file() and "torch" in _reached({name: file}, follow)[1]


def _zoo_file(name: str) -> Path:
    """Where a module of this package lies; a name of something in a module names no file."""
    place = _PACKAGE.joinpath(*name.split(".")[1:])
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def _zoo_name(file: Path) -> str:
    """The inverse; a package's `__init__.py` is called as the package."""
    return ".".join(("zoo", *file.relative_to(_PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


def _find_top(top: str, folder: Path) -> tuple[ModuleSpec | None, bool]:
    """Where a file in `folder` finds a top-level module, without importing it, and whether that is beside the file."""
    near = PathFinder.find_spec(top, [str(folder)])
    if near is not None and near.origin is not None:
        return near, True
    if top in sys.stdlib_module_names:
        return None, False
    elsewhere = (finder.find_spec(top, None) for finder in sys.meta_path)
    far = next((found for found in elsewhere if found is not None), None)
    return (near, True) if far is None and near is not None else (far, False)  # a bare folder yields to any module


def _is_installed(found: ModuleSpec) -> bool:
    places = [found.origin] if found.origin else [*(found.submodule_search_locations or ())]
    return any(_INSTALLED & set(Path(place).parts) for place in places)


def _on_the_way(name: str, folder: Path) -> dict[str, Path]:
    """Module → file, of all that importing a dotted name runs as far as there are modules; none is imported."""
    files: dict[str, Path] = {}
    top, *rest = name.split(".")
    found, at = _find_top(top, folder)[0], top
    for part in [*rest, ""]:
        if found is None:
            break
        if found.origin is not None:
            files[at] = Path(found.origin)
        if not part or found.submodule_search_locations is None:
            break
        found, at = PathFinder.find_spec(part, [*found.submodule_search_locations]), f"{at}.{part}"
    return files


def _imports(file: Path, package: str) -> tuple[str, ...]:
    """Dotted names that a module in `package` imports, those of functions and other things in modules among them.

    Raises:
        UserError: it cannot be read as Python.
    """
    if file.suffix != ".py":  # compiled
        return ()
    try:
        return _imports_of(file.read_bytes(), package)
    except OSError as error:
        raise UserError(f"importing it fails: cannot read {file}: {reason(error)}") from error
    except (SyntaxError, ValueError, RecursionError) as error:
        said = f"{error.msg}, line {error.lineno}" if isinstance(error, SyntaxError) else str(error)
        raise UserError(f"importing it fails: {type(error).__name__} in {file}: {said}") from error


@functools.lru_cache(maxsize=1024)
def _imports_of(source: bytes, package: str) -> tuple[str, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Python, about odd escapes
        tree = ast.parse(source)
    return tuple(dict.fromkeys(_names(tree, package)))


def _names(tree: ast.Module, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, package)
            if base is not None:
                yield from (f"{base}.{alias.name}".strip(".") for alias in node.names)
                yield from [base] if base else []
        elif isinstance(node, ast.Assign | ast.AugAssign) and package:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
                yield from (f"{package}.{name}" for name in _strings(node.value))  # `from package import *`


def _base(node: ast.ImportFrom, package: str) -> str | None:
    """What `from … import` names, absolutely; `""`: the builder's own folder, `None`: above all packages."""
    parts = package.split(".") if package else []
    above = node.level - 1
    if node.level == 0:
        return node.module
    if above > len(parts):
        return None
    return ".".join([*parts[: len(parts) - above], *(node.module or "").split(".")]).strip(".")


def _strings(value: ast.expr) -> Iterable[str]:
    return (node.value for node in ast.walk(value) if isinstance(node, ast.Constant) and isinstance(node.value, str))


@functools.cache
def _versions(library: str) -> dict[str, str]:
    """Distribution → version, of a library and of those it requires that are built on torch too; torch apart."""
    versions = {}
    waiting = [library] if package_version(library) else [*_providers().get(library, [])]
    for distribution in waiting:
        name = _plain(distribution)
        if name == "torch" or name in versions:
            continue
        versions[name] = package_version(distribution) or "none"
        required = _required(distribution)
        waiting += [one for one in required if "torch" in _required(one)]
    return versions or ({} if library == "torch" else {library: "none"})


@functools.cache
def _required(distribution: str) -> tuple[str, ...]:
    """What a distribution requires whatever its extras; nothing where it is not installed."""
    try:
        lines = importlib.metadata.requires(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return ()
    return tuple(_plain(re.split(r"[^\w.-]", line, maxsplit=1)[0]) for line in lines if "extra ==" not in line)


@functools.cache
def _providers() -> Mapping[str, list[str]]:
    """Top-level module → distributions: all metadata is read, so only for modules not called as what brings them."""
    return importlib.metadata.packages_distributions()


def _plain(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
