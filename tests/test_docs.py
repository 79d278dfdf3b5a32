"""Pages say what is: every command parses, what it prints is what is shown, every rule, flag and link exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import zoo
from zoo.cli import reference
from zoo.cli.main import main, make_parser
from zoo.protocol import ACCURACY_PROTOCOL, COLD_PROTOCOL, PACED_PROTOCOL, SPEED_PROTOCOL
from zoo.report.markdown import has_blocks
from zoo.score.trust import REMEDIES

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *(page for name in ("benchmarks", "configs", "zoo") for page in sorted((ROOT / name).rglob("*.md"))),
    ROOT / "results" / "README.md",  # what stands beside it is written by zoo alone
]
PROTOCOL = ROOT / "zoo" / "measure" / "PROTOCOL.md"
FENCE = re.compile(r"^```(?P<kind>\w*)\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL)
READING = {"pick", "compare", "list", "info", "weights list", "leaderboard"}
"""Verbs whose shown answers are those of the committed records and tables."""
UNFINISHED = {"zoo VERB --help", "zoo bench --pair"}
"""Words that are no whole command."""
VERBS = dict(reference.verbs_of(make_parser()))


def ids(page):
    return page.relative_to(ROOT).as_posix()


def commands(page):
    """Every `zoo …` line and word of a page, as a person would type it."""
    text = page.read_text(encoding="utf-8")
    for block in FENCE.finditer(text):
        for line in block["body"].replace("\\\n", " ").splitlines():
            typed = re.sub(r"^torchrun .* -m zoo\.cli ", "zoo ", line.strip().removeprefix("$ "))
            yield from (part for part in typed.split(" && ") if part.startswith("zoo "))
    for code in re.findall(r"`(zoo [^`]*)`", FENCE.sub("", text)):
        yield " ".join(code.split())


def parses(line):
    """Whether the parser takes a line; a verb alone may want more."""
    words = shlex.split(line, comments=True)[1:]
    if " ".join(words) in VERBS:
        return True
    try:
        make_parser().parse_args(words)
    except SystemExit as stop:
        return stop.code == 0
    return True


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_command_of_a_page_parses(page, capsys):
    wrong = [line for line in commands(page) if line not in UNFINISHED and not parses(line)]
    assert wrong == [], capsys.readouterr().err


@pytest.mark.parametrize("kind", ["bench", "train"])
def test_every_command_of_a_preset_parses(kind, capsys):
    lines = [
        re.split(r"\s\s", line[4:])[0]  # what it does stands two spaces after it
        for preset in (ROOT / "configs" / kind).glob("*.toml")
        for line in preset.read_text(encoding="utf-8").splitlines()
        if line.startswith("#   zoo ")
    ]
    assert lines
    assert [line for line in lines if not parses(line)] == [], capsys.readouterr().err


def shown(page):
    """Pairs of a command and the lines that the page shows of its answer."""
    for block in FENCE.finditer(page.read_text(encoding="utf-8")):
        if block["kind"] == "console":
            for part in re.split(r"^\$ ", block["body"], flags=re.MULTILINE)[1:]:
                command, _, answer = part.partition("\n")
                yield command, answer


def is_reading(command):
    words = command.split()[1:]
    return bool(READING & {words[0], " ".join(words[:2])})


ANSWERS = [(page, command, answer) for page in PAGES for command, answer in shown(page) if is_reading(command)]


@pytest.mark.parametrize(("page", "command", "answer"), ANSWERS, ids=[command for _, command, _ in ANSWERS])
def test_what_a_page_shows_is_what_is_printed(page, command, answer, capsys, monkeypatch):
    """A line of `…` stands for any number of lines; the answer of a mistake is its message."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "100")
    main(shlex.split(command)[1:])
    printed = capsys.readouterr()
    lines = [line.rstrip() for line in (printed.err + printed.out).splitlines()]
    assert [line for line in answer.splitlines() if line != "…" and line.rstrip() not in lines] == []
    pattern = "".join(
        r"(?:.*\n)*?" if line == "…" else re.escape(line.rstrip()) + r"\n" for line in answer.splitlines()
    )
    assert re.fullmatch(pattern, "".join(f"{line}\n" for line in lines)), "in this order, and `…` for what is left out"


def test_questions_to_pick_are_shown_with_their_answers():
    asked = [command for page, command, _ in ANSWERS if page.parent.name == "picker"]
    assert len(asked) >= 8
    assert any(command.startswith("zoo pick ") for page, command, _ in ANSWERS if page == ROOT / "README.md")


def test_the_page_of_all_commands_is_up_to_date():
    assert reference.PAGE.read_text(encoding="utf-8") == reference.commands_page(), "run python -m zoo.cli.reference"


def test_every_flag_of_every_verb_is_on_that_page_and_says_what_it_does():
    page = reference.PAGE.read_text(encoding="utf-8")
    parts = dict(re.findall(r"^## `?([\w ]+?)`?\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    assert len(VERBS) > 15
    for name, verb in VERBS.items():
        said = parts[name] + (parts["Which rows"] if "#which-rows" in parts[name] else "")
        for flag in verb._option_string_actions.keys() - {"-h", "--help"}:
            assert re.search(rf"^- `[^`]*{flag}[ ,`].*: \S", said, re.MULTILINE), f"zoo {name} {flag}"
    assert re.findall(r"^- .*: *$", page, re.MULTILINE) == []


def test_the_functions_that_a_page_names_exist():
    (part,) = re.findall(
        r"^## From Python\n(.*?)^## ", (ROOT / "zoo" / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    named = {*re.findall(r"\bzoo\.(\w+)\(", part), *re.findall(r"`([a-z_]+)`", part)}
    assert len(named) > 10
    assert named <= set(zoo.__all__)


def rules(protocol):
    """Numbers of the rules of a protocol."""
    (section,) = re.findall(
        rf"^## [^\n]*`{protocol}`\n(.*?)(?=^## |\Z)", PROTOCOL.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    return [int(number) for number in re.findall(r"^(\d+)\. \*\*", section, re.MULTILINE)]


def test_every_cited_rule_exists():
    others = ACCURACY_PROTOCOL, PACED_PROTOCOL, COLD_PROTOCOL
    known = {protocol: rules(protocol) for protocol in (SPEED_PROTOCOL, *others)}
    for numbers in known.values():
        assert numbers == list(range(1, len(numbers) + 1))
    page, cited = PROTOCOL.read_text("utf-8"), 0
    for folder in ("zoo", "benchmarks", "configs"):
        for file in (*(ROOT / folder).rglob("*.py"), *(ROOT / folder).rglob("*.toml")):
            for line in file.read_text("utf-8").splitlines():
                for protocol in re.findall(r"zoo-[a-z]+/\d+", line):
                    assert f"`{protocol}`" in page, f"{file}: {line}"
                of = next((protocol for protocol in others if protocol in line), SPEED_PROTOCOL)
                for first, last in re.findall(r"\brules? (\d+)(?: to (\d+))?", line):
                    cited += 1
                    assert {int(first), int(last or first)} <= set(known[of]), f"{file}: {line}"
    assert cited >= 10


def test_every_remedy_of_a_grade_is_on_the_page_of_the_protocol():
    (section,) = re.findall(r"^## Before a sweep\n(.*?)^## ", PROTOCOL.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert re.findall(r"^- ([^:]*): (.*)$", section, re.MULTILINE) == list(REMEDIES.items())


def anchors(page):
    """Of every heading, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_link_of_a_page_leads_somewhere(page):
    text = re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text("utf-8")))
    for target, _, anchor in (link.partition("#") for link in re.findall(r"\]\(([^)\s]+)\)", text)):
        if "://" not in target:
            file = page.parent / target if target else page
            assert file.exists(), f"{target} of {page}"
            assert not anchor or anchor in anchors(file), f"{target}#{anchor} of {page}"


def test_every_page_is_reached_from_the_readme():
    found, left = set(), [ROOT / "README.md"]
    while left:
        page = left.pop()
        if page not in found and page.suffix == ".md":
            found.add(page)
            left += [
                (page.parent / link).resolve()
                for link in re.findall(r"\]\(([^)#:\s]+)[^)]*\)", page.read_text("utf-8"))
            ]
    assert set(PAGES) - found == set()


def test_the_readme_is_short():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    generated = [line for line in lines if line.startswith(("|", "<!--", "###"))]
    assert [line for line in lines if len(line) > 125 and line not in generated] == []


@pytest.mark.skipif(not (ROOT / ".ci" / "run").is_file(), reason="a source distribution has no CI")
def test_ci_holds_what_pages_show():
    run = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for page in PAGES:
        if has_blocks(page.read_text(encoding="utf-8")):
            assert f"zoo leaderboard --output {ids(page)} --check\n" in run
    tested = "pip install -e '.[test]' && pytest"
    assert f'grep -F -- "{tested}" README.md' in run
    assert sum(tested in line for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()) == 1
