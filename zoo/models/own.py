"""A network of a user's own: its builder imported as it is now, called, and what it says of itself.

A file and its neighbours are imported under a name of their own, made of where they lie and what they hold: two folders
that both have a `helper.py` stand side by side, what has changed since is read anew, and classes are found again where
pickle and dataclasses look for them. Modules by Python's own names, of `package.module:build`, are imported again when
they, or others that they import, have changed; objects made before keep their old classes.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from pydantic import ValidationError
from torch import Tensor, nn

from zoo.errors import UserError
from zoo.files import sha256_of
from zoo.identity import is_beside, network_sha256, own_modules
from zoo.models.trial import said
from zoo.record import short_hash
from zoo.spec import ModelSpec

_CARRIED = ("mean", "std", "channel_order", "divisor", "align_corners", "train_ids")
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
            raise UserError(f"{spec.name}: importing it fails: {said(error)}") from error
        build = _attribute(spec, source, function)
        try:
            module = build(num_classes)
        except (Exception, SystemExit) as error:
            raise UserError(f"{spec.name}: {function}({num_classes}) fails: {said(error)}") from error
    if not isinstance(module, nn.Module):
        raise UserError(f"{spec.name}: {function}(num_classes) answers with {type(module).__name__}, not an nn.Module")
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
    held = {name: Path(sys.modules[name].__file__ or "") for name in named if name in sys.modules}
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
    found = importlib.util.spec_from_file_location(name, path, loader=_Loader(name, str(path)))
    assert found is not None, "a loader was given"
    assert found.loader is not None, "a loader was given"
    source = sys.modules[name] = importlib.util.module_from_spec(found)
    try:
        found.loader.exec_module(source)
    except BaseException:
        del sys.modules[name]
        raise
    return source


class _Loader(SourceFileLoader):
    """Runs a module whose imports see its neighbours first."""

    def get_code(self, _fullname: str) -> CodeType:
        """Compile the source as it is: Python knows bytecode by the source's size and second alone."""
        return self.source_to_code(self.get_data(self.path), self.path)

    def exec_module(self, module: ModuleType) -> None:
        package = module.__name__.partition(".")[0]
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": functools.partial(_import, package)}
        super().exec_module(module)


class _Finder:
    """Finds the neighbours of a user's file for it."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, _target: ModuleType | None = None) -> ModuleSpec | None:
        found = PathFinder.find_spec(name, path) if name.startswith(_PREFIX) and path is not None else None
        if found is not None and isinstance(found.loader, SourceFileLoader):
            found.loader = _Loader(name, found.loader.path)
        return found


sys.meta_path.insert(0, _Finder)


def _import(
    package: str,
    name: str,
    globals_: Mapping[str, object] | None = None,
    locals_: Mapping[str, object] | None = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> ModuleType:
    """`__import__` of a user's file and its neighbours."""
    top = name.partition(".")[0]
    if level or not is_beside(top, Path(sys.modules[package].__path__[0])):
        return __import__(name, globals_, locals_, fromlist, level)
    if fromlist:
        return __import__(f"{package}.{name}", globals_, locals_, fromlist, 0)
    importlib.import_module(f"{package}.{name}")
    return sys.modules[f"{package}.{top}"]


@contextmanager
def _importable(folder: str) -> Iterator[None]:
    """Let imports that no statement spells see a folder for a while: the neighbours, or the working directory."""
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
