"""A network of a user's own: its builder imported as it is now, called, and what it says of itself.

A file and its neighbours are imported under a name of their own, made of where they lie and what they hold: two folders
that both have a `helper.py` stand side by side, what has changed since is read anew, and classes are found again where
pickle and dataclasses look for them. Modules by Python's own names, of `package.module:build`, are imported again when
they, or others that they import, have changed; objects made before keep their old classes.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from zoo.errors import UserError
from zoo.files import sha256_of, short_hash
from zoo.identity import is_beside, network_sha256, own_modules
from zoo.models.contract import tensors_of
from zoo.models.trial import said
from zoo.spec import ModelSpec

_CARRIED = ("mean", "std", "channel_order", "divisor", "min_side", "align_corners", "train_ids")
_PREFIX = "zoo_own_"

_imported: dict[Path, str] = {}
"""Hash of each file as it was when Python last imported it for us."""


def build_own(spec: ModelSpec, num_classes: int) -> tuple[nn.Module, ModelSpec]:
    """Call a user's builder with `num_classes`; what the callable carries is completed into the spec.

    Raises:
        UserError: it cannot be imported or called, or answers with something else than a module.
    """
    place, function = spec.builder.rsplit(":", 1)
    file = Path(place) if place.endswith(".py") else None
    folder = file.parent if file else Path.cwd()
    importlib.invalidate_caches()
    _forget_changed(own_modules(spec), folder if file else None)
    with _importable(str(folder)):
        try:
            source = _load_file(spec, file) if file else importlib.import_module(place)
        except (Exception, SystemExit) as error:
            raise UserError(f"{spec.name}: importing it fails: {_said(error)}") from error
        build = _attribute(spec, source, function)
        try:
            module = build(num_classes)
        except (Exception, SystemExit) as error:
            raise UserError(f"{spec.name}: {function}({num_classes}) fails: {_said(error)}") from error
    if not isinstance(module, nn.Module):
        raise UserError(f"{spec.name}: {function}(num_classes) answers with {type(module).__name__}, not an nn.Module")
    for name, tensor in tensors_of(module).items():
        if is_lazy(tensor) or tensor.is_meta or tensor.layout != torch.strided:
            what = "lazy" if is_lazy(tensor) else "on the device meta" if tensor.is_meta else "sparse"
            raise UserError(
                f"{spec.name}: {function}({num_classes}) leaves {name} {what}; fill it with plain numbers there"
            )
    return module, completed(spec, build)


def completed(spec: ModelSpec, carrier: object) -> ModelSpec:
    """A spec with what a builder, or the network it built, carries of it.

    Raises:
        UserError: a value that cannot be used.
    """
    carried = {name: value for name in _CARRIED if (value := _literal(carrier, name)) is not None}
    try:
        return ModelSpec.model_validate({**spec.model_dump(exclude_unset=True), **carried})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UserError(
            f"{spec.name}: its {first['loc'][0]} cannot be used ({first['msg']}); got {first['input']!r}"
        ) from error


def _literal(carrier: object, name: str) -> Any:
    """An attribute's value unless it is a tensor or a method, which are the network's own."""
    value = inspect.getattr_static(carrier, name, None)
    value = getattr(carrier, name) if isinstance(value, property) else value
    return None if isinstance(value, Tensor) or callable(value) else value


def _attribute(spec: ModelSpec, source: ModuleType, function: str) -> Callable[[int], Any]:
    build = getattr(source, function, None)
    if not callable(build):
        offered = [
            name for name, value in vars(source).items()
            if callable(value) and getattr(value, "__module__", "") == source.__name__ and not name.startswith("_")
        ]  # fmt: skip
        raise UserError(f"{spec.name}: no callable {function!r} in it; it has {', '.join(offered) or 'none'}")
    found: Callable[[int], Any] = build
    return found


def _said(error: BaseException) -> str:
    """As the file itself names its neighbours."""
    return re.sub(rf"{_PREFIX}\w+\.", "", said(error))


def _forget_changed(modules: Mapping[str, Path], folder: Path | None) -> None:
    """Have Python import a builder's modules again where it holds one of another file, or as it was before a change.

    Those beside a file, in `folder`, are no modules of Python's own names.
    """
    named = {
        name: file
        for name, file in modules.items()
        if (top := name.partition(".")[0]) != "zoo"
        and top not in sys.stdlib_module_names
        and not (folder and is_beside(top, folder))
    }
    hashes = {file: sha256_of(file) for file in named.values()}
    held = {name: Path(getattr(sys.modules[name], "__file__", None) or "") for name in named if name in sys.modules}
    if any(file.resolve() != named[name].resolve() for name, file in held.items()) or any(
        _imported.get(file, now) != now for file, now in hashes.items()
    ):
        for name in held:
            del sys.modules[name]
    _imported.update(hashes)


def _load_file(spec: ModelSpec, path: Path) -> ModuleType:
    package = _PREFIX + short_hash([str(path), network_sha256(spec)], 12)
    if package not in sys.modules:
        neighbours = ModuleType(package)
        neighbours.__path__ = [str(path.parent)]
        sys.modules[package] = neighbours
    name = f"{package}.{path.stem.replace('.', '_')}"
    if name in sys.modules:
        return sys.modules[name]
    loader = _Loader(name, str(path))
    found = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert found is not None, "a loader was given"
    source = sys.modules[name] = importlib.util.module_from_spec(found)
    try:
        loader.exec_module(source)
    except BaseException:
        del sys.modules[name]
        raise
    return source


class _Loader(SourceFileLoader):
    """Runs a module whose imports mean its neighbours first."""

    def get_code(self, _fullname: str) -> CodeType:
        """Compile the source as it is: Python knows bytecode by the source's size and second alone."""
        package = self.name.partition(".")[0]
        tree = ast.parse(self.get_data(self.path), self.path)
        return self.source_to_code(ast.fix_missing_locations(_Neighbours(package).visit(tree)), self.path)


class _Neighbours(ast.NodeTransformer):
    """Names the neighbours in import statements by their private package; `import a.b` still binds `a`."""

    def __init__(self, package: str) -> None:
        self._package, self._folder = package, Path(sys.modules[package].__path__[0])

    def _is_beside(self, name: str) -> bool:
        return is_beside(name.partition(".")[0], self._folder)

    def visit_Import(self, node: ast.Import) -> ast.Import:
        names = []
        for alias in node.names:
            if not self._is_beside(alias.name):
                names.append(alias)
                continue
            top = alias.name.partition(".")[0]
            names.append(ast.alias(f"{self._package}.{alias.name}", alias.asname or top))
            if alias.asname is None and top != alias.name:
                names.append(ast.alias(f"{self._package}.{top}", top))
        return ast.copy_location(ast.Import(names), node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom:
        if node.level or node.module is None or not self._is_beside(node.module):
            return node
        return ast.copy_location(ast.ImportFrom(f"{self._package}.{node.module}", node.names, 0), node)


class _Finder:
    """Finds the neighbours of a user's file for it."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, _target: ModuleType | None = None) -> ModuleSpec | None:
        found = PathFinder.find_spec(name, path) if name.startswith(_PREFIX) and path is not None else None
        if found is not None and isinstance(found.loader, SourceFileLoader):
            found.loader = _Loader(name, found.loader.path)
        return found


sys.meta_path.insert(0, _Finder)


@contextmanager
def _importable(folder: str) -> Iterator[None]:
    """Let imports that no statement spells see a folder for a while: the neighbours, or the working directory."""
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
