"""Who measures which cell of a folder: nothing twice, nothing lost, whoever dies and on whatever file system."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.bench.cells import RECIPE, RUN, cell
from zoo import locks, store
from zoo.bench.journal import Journal, Line
from zoo.bench.ledger import Ledger
from zoo.bench.plan import cell_id, cell_key, record_twin
from zoo.data.layout import open_dataset
from zoo.errors import UserError

HOLDER = """
import sys
from pathlib import Path
from zoo import locks
{lack}
held = locks.take(Path({path!r}))
assert held is not None
print("there", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def given(setting, records):
    """A setting whose cells `answer` answers."""
    made = setting(input_sizes=())
    return replace(made, survey=replace(made.survey, device=records.make().device))


@pytest.fixture
def answer(given, records):
    """`answer(cell, folder)`: its record."""

    def make(one, folder, status="ok", minutes=0, machine_id="m" * 64):
        made = records.make(
            one.spec.name, runtime=one.runtime, precision=one.precision, input_size=one.input_size, dataset=None,
            right=None, status=status, minutes=minutes, machine_id=machine_id,
        )  # fmt: skip
        return made.model_copy(
            update={
                "cell": cell_id(one, given),
                "key": cell_key(one, given) if machine_id == "m" * 64 else "k" * 32,
                "folder": folder,
                "software": given.survey.software[one.runtime],
            }
        )

    return make


@pytest.fixture(params=["flock", "no flock"])
def system(request, monkeypatch):
    """A file system with locks, and one without."""
    if request.param == "no flock":

        def flock(_descriptor, _operation):
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

        monkeypatch.setattr(fcntl, "flock", flock)
    return request.param


def test_what_is_finished(given, answer, tmp_path):
    cells = [cell(), cell("enet"), cell("erfnet"), cell("cgnet"), cell("regseg")]
    with Ledger.open(tmp_path) as ledger:
        own = ledger.folder
    kept = [
        answer(cells[0], own),
        answer(cells[1], "another"),
        answer(cells[2], own, status="failed"),
        answer(cells[3], own, status="unsupported"),
        answer(cells[4], own, machine_id="n" * 64),
    ]
    for record in kept:
        store.save(record, {}, tmp_path)
    found = Ledger(tmp_path, (own,))
    assert [found.finished(one, given) for one in cells] == [kept[0], None, None, kept[3], kept[4]]
    assert found.finished_of(cells, given) == {cell_key(cells[place], given) for place in (0, 3, 4)}
    assert Ledger(tmp_path, ()).finished_of(cells, given) == set(), "what came with a checkout does not count"
    assert Ledger(tmp_path, (own, "another")).finished(cells[1], given) == kept[1], "what was merged into it does"
    assert Ledger(tmp_path, (own,), rerun=True).finished_of(cells, given) == set()


def test_the_newest_of_a_cell_is_its_record(given, answer, tmp_path):
    records = [answer(cell(), "own", minutes=minutes) for minutes in (5, 1, 3)]
    for record in records:
        store.save(record, {}, tmp_path)
    assert Ledger(tmp_path, ("own",)).finished(cell(), given) == records[0]


def test_older_records_count_by_their_key_alone(given, answer, tmp_path):
    older = answer(cell(), "own").model_copy(update={"cell": ""})
    store.save(older, {}, tmp_path)
    found = Ledger(tmp_path, ("own",))
    assert found.finished(cell(), given) == older
    assert found.finished(cell("enet"), given) is None


@pytest.mark.parametrize("status", ["ok", "failed"])
def test_what_others_keep_meanwhile_is_not_measured_again(given, answer, tmp_path, status):
    """Well or not: another call, not this one, tries again what failed."""
    with Ledger.open(tmp_path) as mine, Ledger.open(tmp_path) as other:
        record = answer(cell(), other.folder, status=status)
        assert other.keep(record, {})
        assert mine.finished(cell(), given) is None
        mine.look_again([cell(), cell("enet")], given)
        assert mine.finished(cell(), given) == record
        assert mine.finished(cell(precision="bf16"), given) is None
    found = Ledger(tmp_path, mine.folders).finished(cell(), given)
    assert (found is None) == (status == "failed")


def test_an_answer_that_comes_twice_or_late_is_dropped(given, answer, tmp_path):
    with Ledger.open(tmp_path) as one, Ledger.open(tmp_path) as other:
        assert one.keep(answer(cell(), one.folder), {})
        assert not one.keep(answer(cell(), one.folder, minutes=1), {})
        assert not other.keep(answer(cell(), one.folder, minutes=2, machine_id="n" * 64), {}), (
            "a twin's, of another process"
        )
        assert one.keep(answer(cell("enet"), one.folder), {})
    assert len(store.scan(tmp_path, history=True).records) == 2


def test_a_cell_has_one_holder_until_it_lets_go(system, given, tmp_path):
    cells = [cell(), cell("enet"), cell("erfnet")]
    with Ledger.open(tmp_path) as one, Ledger.open(tmp_path) as other:
        with one.claimed(cells[:2], given) as mine:
            assert mine == cells[:2]
            with other.claimed(cells, given) as theirs:
                assert theirs == cells[2:]
                assert other.holders(cells, given) == [f"process {os.getpid()} on {socket.gethostname()}"]
        with other.claimed(cells, given) as theirs:
            assert theirs == cells
        assert other.holders(cells, given) == []
    left = [path.name for path in (tmp_path / ".local" / "claims").iterdir()]
    assert left == [], "no file is left over for each cell"


def test_a_training_has_one_holder_whatever_its_cells(given, setting, streets, tmp_path):
    """Another plan may want other cells of the same training: it does not train beside this one."""
    with_data = replace(setting(open_dataset(streets)), survey=given.survey)
    trains = [cell(recipe=RECIPE), cell(recipe=RECIPE, precision="bf16")]
    seed = cell(recipe=RECIPE.model_copy(update={"seed": 1}))
    with Ledger.open(tmp_path) as one, Ledger.open(tmp_path) as other, one.claimed(trains[:1], with_data) as mine:
        assert mine == trains[:1]
        with other.claimed(trains[1:], with_data) as theirs:
            assert theirs == []
        assert other.holders(trains[1:], with_data) == [f"process {os.getpid()} on {socket.gethostname()}"]
        with other.claimed([seed], with_data) as theirs:
            assert theirs == [seed]
        trained = replace(trains[1], source=RUN)
        with other.claimed([trained], with_data) as theirs:
            assert theirs == [trained], "what is trained already waits for no training"


def test_of_a_round_of_trainings_each_is_claimed_by_itself(setting, streets, tmp_path):
    """Two shells may hold one training each of what either would train beside each other."""
    with_data = setting(open_dataset(streets))
    first, second, third = (cell(name, recipe=RECIPE) for name in ("unet", "cgnet", "edanet"))
    with Ledger.open(tmp_path) as one, Ledger.open(tmp_path) as other:
        with one.claimed([first], with_data), other.claimed([first, second], with_data) as theirs:
            assert theirs == [second], "what nobody has is free"
        with one.claimed([second, third], with_data) as mine:
            assert mine == [second, third]
            more = [replace(each, precision="bf16") for each in (second, third)]
            with other.claimed(more, with_data) as theirs:
                assert theirs == [], "nobody trains them again beside this one"


def test_other_kinds_of_devices_answer_for_themselves(given, tmp_path):
    device = given.survey.device.model_copy(update={"slug": "nvidia-t4"})
    other = replace(given, survey=replace(given.survey, device=device))
    with Ledger.open(tmp_path) as ledger, ledger.claimed([cell()], given), ledger.claimed([cell()], other) as theirs:
        assert theirs == [cell()]


def test_a_killed_process_claims_nothing(system, given, tmp_path):
    with Ledger.open(tmp_path) as ledger:
        with ledger.claimed([cell()], given):
            path = min((tmp_path / ".local" / "claims").iterdir())  # where there is no flock another stands beside it
        code = HOLDER.format(path=str(path), lack="" if system == "flock" else "locks.fcntl = None")
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "there\n"
        with ledger.claimed([cell()], given) as mine:
            assert mine == []
        process.send_signal(signal.SIGKILL)
        process.communicate()
        with ledger.claimed([cell()], given) as mine:
            assert mine == [cell()]


def test_a_claim_of_another_host_is_believed(given, tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "fcntl", None)
    with Ledger.open(tmp_path) as ledger:
        with ledger.claimed([cell()], given):
            (held,) = (tmp_path / ".local" / "claims").glob("*.held")
        held.write_text("1\nnode17.cluster\n1.0\n")
        with ledger.claimed([cell()], given) as mine:
            assert mine == []


def test_a_folder_that_cannot_lock_is_one_line(given, tmp_path, monkeypatch):
    def refuse(_path, **_options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with Ledger.open(tmp_path) as ledger:
        monkeypatch.setattr(locks, "take", refuse)
        with (
            pytest.raises(
                UserError, match=r"cannot claim a cell in .*: Read-only file system; .* another folder"
            ) as caught,
            ledger.claimed([cell()], given),
        ):
            pass
    assert "\n" not in str(caught.value)


def test_a_damaged_record_is_measured_again(given, answer, tmp_path):
    with Ledger.open(tmp_path) as one, Ledger.open(tmp_path) as other:
        other.keep(answer(cell(), other.folder), {})
        (path,) = tmp_path.rglob("*.json")
        path.write_text("{")
        one.look_again([cell()], given)
        assert one.finished(cell(), given) is None


def test_several_processes_make_one_folder_with_one_id(tmp_path):
    code = "from zoo.bench.ledger import Ledger\nwith Ledger.open('new') as ledger: print(ledger.folder)"
    started = {"stdout": subprocess.PIPE, "text": True, "cwd": tmp_path}
    processes = [subprocess.Popen([sys.executable, "-c", code], **started) for _ in range(2)]
    ids = {process.communicate()[0] for process in processes}
    assert len(ids) == 1
    assert ids == {store.folder_ids(tmp_path / "new")[0] + "\n"}


def test_a_cell_costs_its_own_records_however_many_are_beside_it(
    given, setting, streets, answer, tmp_path, monkeypatch
):
    """Whoever asks for a cell reads what answers it, before and since: not what answers others in its conditions."""
    others = [cell(recipe=RECIPE.model_copy(update={"seed": seed})) for seed in range(5)]
    mine, read = cell(), []
    load = store.load
    with Ledger.open(tmp_path) as first, Ledger.open(tmp_path) as meanwhile:
        for one in [*others, mine]:
            assert first.keep(answer(one, first.folder), {})
        monkeypatch.setattr(store, "load", lambda path: read.append(path) or load(path))
        for ledger in (meanwhile, Ledger(tmp_path, first.folders)):
            read.clear()
            assert ledger.finished(mine, given) is None or ledger is not meanwhile
            ledger.look_again([mine], given)
            assert ledger.finished(mine, given).cell == cell_id(mine, given)
            assert set(read) == {tmp_path / store.result_path(answer(mine, first.folder))}


@pytest.mark.parametrize("line_was", ["before", "since"])
def test_a_line_that_comes_before_its_record_is_looked_at_again(given, answer, tmp_path, line_was):
    """Whoever looks between the two finds nothing yet, and the record later; each look costs one."""
    record = answer(cell(), "own")
    path, ledgers = store.result_path(record), []
    if line_was == "since":
        ledgers.append(Ledger(tmp_path, ("own",)))
    Journal(tmp_path).add(path.parent, Line(record.key, record_twin(record), path.name))
    if line_was == "before":
        ledgers.append(Ledger(tmp_path, ("own",)))
    (ledger,) = ledgers
    for _ in range(3):
        assert ledger.finished(cell(), given) is None
        ledger.look_again([cell()], given)
    store.save(record, {}, tmp_path)
    ledger.look_again([cell("enet")], given)
    assert ledger.finished(cell(), given) is None, "not looked at for another cell"
    ledger.look_again([cell()], given)
    assert ledger.finished(cell(), given) == record


def test_a_record_that_never_came_costs_one_look_each_time(given, answer, tmp_path, monkeypatch):
    looked, load, record = [], store.load, answer(cell(), "own")
    path = store.result_path(record)
    for _ in range(5):
        Journal(tmp_path).add(path.parent, Line(record.key, record_twin(record), path.name))
    monkeypatch.setattr(store, "load", lambda path: looked.append(path) or load(path))
    ledger = Ledger(tmp_path, ("own",))
    assert ledger.finished(cell(), given) is None
    for count in range(1, 4):
        assert len(looked) == count
        ledger.look_again([cell()], given)


@pytest.mark.parametrize("in_the_way", ["of all", "of this one"])
def test_a_record_is_worth_more_than_its_line(given, answer, tmp_path, in_the_way):
    with Ledger.open(tmp_path) as ledger:
        record = answer(cell(), ledger.folder)
        kept = tmp_path / ".local" / "kept"
        if in_the_way == "of all":
            kept.write_bytes(b"")
        else:
            (kept / store.result_path(record).parent).mkdir(parents=True)
        assert ledger.keep(record, {})
        assert ledger.finished(cell(), given) == record
    assert Ledger(tmp_path, ledger.folders).finished(cell(), given) == record, "found by its name"


def test_a_journal_is_for_whoever_may_write_records(given, answer, tmp_path):
    before = os.umask(0o002)
    try:
        with Ledger.open(tmp_path) as ledger:
            record = answer(cell(), ledger.folder)
            ledger.keep(record, {})
    finally:
        os.umask(before)
    place = store.result_path(record)
    modes = [path.stat().st_mode & 0o777 for path in (tmp_path / place, tmp_path / ".local" / "kept" / place.parent)]
    assert modes == [0o664, 0o664]


@pytest.mark.parametrize("damage", ["torn", "gone", "nonsense"])
def test_the_journal_only_says_where_to_look(given, answer, tmp_path, damage):
    """Without its lines records are found by their names, and a line makes no record."""
    with Ledger.open(tmp_path) as ledger:
        ledger.keep(answer(cell(), ledger.folder), {})
        ledger.keep(answer(cell("enet"), ledger.folder), {})
    (tmp_path / store.result_path(answer(cell("enet"), ""))).unlink()
    for journal in (path for path in (tmp_path / ".local" / "kept").rglob("*") if path.is_file()):
        if damage == "gone":
            journal.unlink()
        elif damage == "torn":
            journal.write_bytes(journal.read_bytes()[:-20])
        else:
            journal.write_bytes(b"\xff\n a b c d \n\n" + journal.read_bytes()[9:])
    with Ledger.open(tmp_path) as ledger:
        assert ledger.finished(cell(), given) is not None
        assert ledger.finished(cell("enet"), given) is None
        assert ledger.keep(answer(cell("enet"), ledger.folder), {})
        other = Ledger(tmp_path, ledger.folders)
    assert other.finished(cell("enet"), given) is not None, "what stands behind a torn line is read"
