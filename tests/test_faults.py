"""Advice that fits: each class of error has its own remedy, and no text names a flag that its reader cannot give."""

import argparse
import ast
import errno
import os
import re
from pathlib import Path

import pytest

import zoo
from zoo.cli.main import make_parser
from zoo.faults import how_to_read, how_to_write, reason

ROOT = Path(zoo.__file__).parent
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z]")
OTHERS = {
    "data/loading.py": {"--shm-size"},  # of docker
    "runtimes/compile.py": {"--install"},  # of xcode-select
    "train/run.py": {"--porcelain", "--untracked-files"},  # of git
}
VERBS = {
    "bench/": "bench",
    "predict/": "predict",
    "train/": "train",
    "data/convert.py": "data convert",
    "doctor.py": "doctor",
    "evaluate.py": "eval",
    "export.py": "export",
    "report/doctor.py": "doctor",
    "report/output.py": "leaderboard",
    "picker/": "pick",
}
"""Rooms that one verb speaks from: a flag they name by itself is that verb's."""
SHARED = {
    "artifact.py": ("eval", "predict", "export"),  # all load weights
    "export.py": ("export", "bench"),  # bench reads what export wrote
}
"""Rooms that several verbs speak from: one of them has it."""


def commands(parser=None, name=""):
    """Verb → its parser, `data synth` and the like too."""
    found = {name: parser or make_parser()}
    for action in found[name]._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb, below in action.choices.items():
                found |= commands(below, f"{name} {verb}".strip())
    return found


def flags(parser):
    return {option for action in parser._actions for option in action.option_strings}


def texts():
    """`(room, text)` of every string in the source that a user may read; docstrings and the parser's own left out."""
    for path in sorted(ROOT.rglob("*.py")):
        room = path.relative_to(ROOT).as_posix()
        if room.startswith("cli/"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        joined = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                yield room, "".join(part.value if isinstance(part, ast.Constant) else "X" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (bare | joined):
                yield room, node.value


def test_every_flag_that_a_text_names_is_one_its_reader_can_give():
    known = commands()
    every = set().union(*map(flags, known.values()))
    seen = 0
    for room, text in texts():
        alone = re.sub(r"`[^`]*`", "", text)
        of_room = SHARED.get(room) or [verb for start, verb in VERBS.items() if room.startswith(start)]
        for flag in set(FLAG.findall(text)) - OTHERS.get(room, set()):
            seen += 1
            assert flag in every or re.search(rf"`(?!zoo )[^`]*{flag}", text), f"{room}: no verb has {flag}: {text}"
            if flag in FLAG.findall(alone):
                able = [verb for verb in of_room if flag in flags(known[verb])]
                assert able or not of_room, f"{room}: zoo {' or '.join(of_room)} has no {flag}: {text}"
    assert seen > 50


def test_every_command_that_a_text_names_can_be_given():
    known = commands()
    seen = 0
    for room, text in texts():
        for command in re.findall(r"`zoo ([^`]*)`", text):
            words = command.split()
            verb = " ".join(words[:2]) if words[0] in {"data", "weights"} else words[0]
            assert verb in known, f"{room}: no verb {verb}: {text}"
            wrong = set(FLAG.findall(command)) - flags(known[verb])
            assert not wrong, f"{room}: zoo {verb} has no {wrong}: {text}"
            seen += 1
    assert seen > 10


WRITING = {
    "free some space": {errno.ENOSPC, errno.EDQUOT},
    "permit writing there": {errno.EACCES, errno.EPERM},
    "mounted to be read only": {errno.EROFS},
    "such as locks": {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP},
    "ulimit -f": {errno.EFBIG},
    "a file stands where a folder belongs": {errno.ENOTDIR, errno.EEXIST},
    "a folder has this name": {errno.EISDIR},
    "shorten its path": {errno.ENAMETOOLONG},
    "ulimit -n": {errno.EMFILE},
    "many files open": {errno.ENFILE},
    "the disk itself fails": {errno.EIO},
    "mount it again": {
        errno.ESTALE,
        errno.ETIMEDOUT,
        errno.ENOTCONN,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ECONNRESET,
    },
    "more memory": {errno.ENOMEM},
    "correct the link": {errno.ELOOP},
}


@pytest.mark.parametrize("code", sorted(errno.errorcode))
def test_no_remedy_for_writing_is_that_of_another_class(code):
    advice = how_to_write(OSError(code, os.strerror(code)), "another folder")
    assert "\n" not in advice
    assert "{place}" not in advice
    fitting = {words for words, codes in WRITING.items() if code in codes}
    assert {words for words in WRITING if words in advice} == fitting
    if not fitting:
        assert "another folder" in advice


@pytest.mark.parametrize("code", sorted(errno.errorcode))
def test_no_remedy_for_reading_frees_space(code):
    advice = how_to_read(OSError(code, os.strerror(code)))
    assert "space" not in advice
    assert "{place}" not in advice


def test_a_reason_is_one_line():
    assert reason(OSError(errno.ENOSPC, "No space\nleft")) == "No space left"
    assert reason(ValueError("")) == "ValueError"


def test_no_room_writes_a_remedy_for_the_system_of_its_own():
    """What the system refuses is mended by what `zoo.faults` says."""
    for path in sorted(ROOT.rglob("*.py")):
        for line in path.read_text(encoding="utf-8").splitlines():
            assert "strerror or error}; free" not in line, path
            assert "replace the file" not in line, path
