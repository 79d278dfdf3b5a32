"""Rules of the house that no linter knows: how long files and functions are, and that imports run in no circle."""

import ast
import re
from pathlib import Path

import pytest

import zoo

ROOT = Path(zoo.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
MODULES = {
    ".".join(("zoo", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path for path in FILES
}
LONGEST_FILE, LONGEST_FUNCTION = 500, 80
LONG_ON_PURPOSE = {"train/loop.py:train"}
"""Read top to bottom."""
DOORS = {"zoo", "zoo.runtimes.table", "zoo.cli.main"}
"""They name what lies below them or comes later by strings, and import it when it is asked for."""


def imported(path: Path, module: str) -> set[str]:
    """Modules of zoo that a file imports, anywhere in it, by statement or by a string that names one."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import():
                found |= {alias.name for alias in node.names}
            case ast.ImportFrom():
                base = node.module or ""
                if node.level:
                    base = ".".join([*package.split(".")[: len(package.split(".")) - node.level + 1], base]).rstrip(".")
                found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
            case ast.Constant(value=str(text)):
                found.add(text.partition(":")[0])
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                node.body = []  # for readers alone
    return (found & set(MODULES)) - {module, "zoo"}


def test_files_are_no_longer_than_can_be_read():
    lengths = {path.relative_to(ROOT).as_posix(): len(path.read_text("utf-8").splitlines()) for path in FILES}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_functions_are_no_longer_than_can_be_read():
    long = {}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = node.end_lineno - node.lineno + 1
                if length > LONGEST_FUNCTION:
                    long[f"{path.relative_to(ROOT).as_posix()}:{node.name}"] = length
    assert set(long) == LONG_ON_PURPOSE, long


def test_plurals_are_made_in_one_place():
    """`zoo.errors.counted` does: whoever writes them by hand writes "1 cells" sooner or later."""
    by_hand = re.compile(r"""else \(?["']s["']|["']s["'] \*|\w\(s\)[\s"']""")
    counts = re.compile(r"(?<![Oo]f )\{(len\([^{}]*\)|[\w.]*count)\} (cells|rows|records|steps|smoke tests|colours)\b")
    wrong = [
        f"{path.relative_to(ROOT).as_posix()}:{number}: {line.strip()}"
        for path in FILES
        if path.name != "errors.py"
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if by_hand.search(line) or counts.search(line)
    ]
    assert wrong == []


def test_imports_run_in_no_circle():
    edges = {module: imported(path, module) for module, path in MODULES.items() if module not in DOORS}
    done: set[str] = set()

    def follow(module: str, trail: tuple[str, ...]) -> None:
        if module in trail:
            pytest.fail(" → ".join((*trail[trail.index(module) :], module)))
        if module not in done:
            for below in sorted(edges.get(module, ())):
                follow(below, (*trail, module))
            done.add(module)

    for module in edges:
        follow(module, ())
