"""Real sweeps under faults: nothing finished is lost or half-written, no process stays, the next call goes on.

Injected here: 38 faults: 13 of a worker (`WORKER_FAULTS`, and one in each stage of an eager cell), 10 of a worker that
builds, compares, fills batches or times a pair, 9 of a sweep (`ENDS`, and two with a worker that hangs), 6 of what a
sweep stands on: its fork server, its folders, another sweep.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from multiprocessing import forkserver
from pathlib import Path

import psutil
import pytest

from zoo import store
from zoo.bench import workshop
from zoo.bench.pair import PairError, run_pair
from zoo.bench.request import Request
from zoo.bench.sweep import run_bench
from zoo.cli import main as cli
from zoo.config import BenchConfig, TrainConfig
from zoo.data.synthetic import write_dataset
from zoo.errors import UserError

pytestmark = pytest.mark.slow
FRAME = (64, 256)  # wider than what an own model is tried on
TOKEN = "ZOO_TEST_SWEEP"
LONG = f"600.{os.getpid()}"  # seconds; known by it wherever it is

# Own models of one convolution. `bad` keeps the contract on the small image it is checked with, and does `fault` on a
# real frame, within `stage`, as long as the file `armed` stands beside it.
NET = """
    import ctypes, os, resource, signal, subprocess, sys, time, traceback
    from pathlib import Path
    import torch

    ARMED = Path({folder!r}, "armed")

    def hoard(piece):
        hoarded = []
        while True:
            hoarded.append(piece())

    def limit():
        return resource.getrlimit(resource.RLIMIT_DATA)[0]

    class Bad(torch.nn.Conv2d):
        def forward(self, image):
            wide = image.shape[-1] >= 256 or {stage!r} in ("survey", "train_step")
            if wide and ARMED.exists() and any({stage!r} in frame.name for frame in traceback.extract_stack()):
                {fault}
            return super().forward(image)

    def bad(num_classes):
        return Bad(3, num_classes, 3, padding=1)

    def one(num_classes):
        return torch.nn.Conv2d(3, num_classes, 1)

    def two(num_classes):
        return torch.nn.Conv2d(3, num_classes, 3, padding=1)
"""


@pytest.fixture
def folders(tmp_path):
    return {"results": tmp_path / "results", "runs": tmp_path / "runs"}


@pytest.fixture
def net(tmp_path):
    """Write the models' file; `net("one", "two")` are their names for `models`."""
    path = tmp_path / "net.py"

    def names(*functions: str, fault: str = "pass", stage: str = "measure") -> tuple[str, ...]:
        path.write_text(textwrap.dedent(NET).format(fault=fault, stage=stage, folder=str(tmp_path)))
        (tmp_path / "armed").touch()
        return tuple(f"{path}:{function}" for function in functions)

    return names


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "streets"
    write_dataset(root, image_size=FRAME, train_count=4, val_count=2)
    return root


@pytest.fixture(autouse=True)
def nothing_stays():
    """No worker outlives its sweep, whatever became of it, and no log or folder of it stays in the temporary folder."""
    litter = set(Path(tempfile.gettempdir()).iterdir())
    yield
    server = forkserver._forkserver._forkserver_pid
    workers = psutil.Process(server).children(recursive=True) if server else []
    workers += [process for process in psutil.process_iter(["cmdline"]) if LONG in (process.info["cmdline"] or ())]
    assert psutil.wait_procs(workers, timeout=60)[1] == []
    new = set(Path(tempfile.gettempdir()).iterdir()) - litter
    assert not [path for path in new if path.name.startswith("zoo-")]


def speed_only(models: tuple[str, ...], **changes) -> BenchConfig:
    return BenchConfig(
        models=models, accuracy=False, image_size=FRAME, quick=True, timeout_s=200, device="cpu"
    ).model_copy(update=changes)


def finish(config: BenchConfig, folders, finished: int, **where) -> None:
    """The next call goes on where the last one stopped; then every record is there, whole, and nothing else."""
    before = store.scan(folders["results"], history=True)
    assert before.warnings == ()
    sweep = run_bench(Request(config, **folders, **where))
    assert len(sweep.finished) == finished
    assert {record.status for record in sweep.records} <= {"ok"}
    assert len(sweep.records) + finished == len(config.models) + ("data" in where)
    after = store.scan(folders["results"], history=True)
    assert after.warnings == ()
    assert {record.started_at for record in before.records} <= {record.started_at for record in after.records}
    for path in folders["results"].rglob("*.npz"):
        assert store.samples(path.with_suffix(".json"))
    assert not [path for path in folders["results"].rglob("*") if "draft" in path.name]
    assert not list(folders["runs"].glob(".zoo-draft-*"))


LITTLE = "resource.setrlimit(resource.RLIMIT_DATA, (2 * 10**9,) * 2)"
WORKER_FAULTS = {
    "os._exit(0)": ("failed", "exit code 0 and no answer"),
    f"subprocess.Popen(['sleep', '{LONG}']), os._exit(3)": ("failed", "exit code 3"),
    "ctypes.PyDLL(None).sleep(600)": ("timeout", "no answer within"),  # no other Python thread runs
    f"subprocess.Popen(['sleep', '{LONG}']), os.kill(os.getpid(), signal.SIGSTOP)": ("timeout", "no answer within"),
    # Memory: all that a worker may have, only asked for; then less, touched by Python and by torch.
    "hoard(lambda: torch.empty(limit() // 64))": ("oom", "out of memory"),
    f"{LITTLE}, hoard(lambda: bytearray(10**7))": ("oom", "out of memory"),
    f"{LITTLE}, hoard(lambda: torch.ones(10**7))": ("oom", "out of memory"),
    "os.write(2, b'terminate called after throwing an instance of std::bad_alloc'), os.abort()": ("oom", "of memory"),
}


def same_in_every_process(fault: str) -> str:
    return fault.replace(LONG, "600")


@pytest.mark.parametrize("fault", WORKER_FAULTS, ids=same_in_every_process)
def test_a_worker_that_ends_badly_is_a_record(fault, net, folders, monkeypatch):
    monkeypatch.setattr("zoo.bench.workshop.GRACE_S", 1.0)
    status, reason = WORKER_FAULTS[fault]
    models = net("bad", fault=fault)
    (bad,) = run_bench(Request(speed_only(models, timeout_s=5 if status == "timeout" else 200), **folders)).records
    assert (bad.status, bad.failure.step) == (status, "measure")
    assert reason in bad.failure.reason
    (folders["results"].parent / "armed").unlink()
    finish(speed_only(models), folders, finished=0)


@pytest.mark.parametrize("stage", ["train", "measure", "evaluate", "memory"])
def test_a_worker_killed_in_any_stage_is_a_record(stage, streets, net, folders):
    models = net("bad", fault="os.kill(os.getpid(), signal.SIGKILL)", stage=f"{stage}_step")
    recipe = TrainConfig(name="tiny", steps=2, batch_size=2, crop_size=(32, 64), scale_range=(1.0, 1.0))
    config = speed_only(models, accuracy=True, train_missing=True, keep_checkpoints=False, train=recipe)
    sweep = run_bench(Request(config, **folders, data=streets))
    baseline, bad = sweep.records
    assert (baseline.status, bad.status, bad.failure.step) == ("ok", "failed", stage)
    (folders["results"].parent / "armed").unlink()
    finish(config, folders, finished=1, data=streets)


def test_a_worker_killed_before_there_is_a_cell_is_one_line(net, folders):
    models = net("bad", fault="os.kill(os.getpid(), signal.SIGKILL)", stage="survey")
    with pytest.raises(UserError, match="net:bad cannot be measured: ended by SIGKILL"):
        run_bench(Request(speed_only(models), **folders))
    (folders["results"].parent / "armed").unlink()
    finish(speed_only(models), folders, finished=0)


# Faults one after the other in the same folders: the file `armed` holds what `bad` does, so that its code, and with it
# the checkpoint and the built files, stay the same.
AS_ARMED = "exec(ARMED.read_text())"
KILL = "os.kill(os.getpid(), signal.SIGKILL)"
HANG = "ctypes.PyDLL(None).sleep(600)"
WHOLE_BUT_UNNAMED = f"sys.addaudithook(lambda event, names: {KILL} if event == 'os.rename' else None)"
ENDED = {KILL: ("failed", "ended by SIGKILL"), HANG: ("timeout", "no answer within 2 s")}


@pytest.fixture
def hurried(monkeypatch):
    """`hurried("build")`: that stage alone, for that batch, has 2 s; no other one times out on a slow machine."""
    monkeypatch.setattr(workshop, "GRACE_S", 1.0)
    monkeypatch.setattr("zoo.bench.cell.grows", lambda rates: len(rates) < 2)  # batches of 1 and 2
    run = workshop.Workshop.run

    def hurry(stage: str, batch_size: int = 1) -> None:
        def run_hurried(self, stages, job, *, timeout_s, on_note=None):
            ends_soon = stage in stages and job.batch_size == batch_size
            return run(self, stages, job, timeout_s=2 if ends_soon else timeout_s, on_note=on_note)

        monkeypatch.setattr(workshop.Workshop, "run", run_hurried)

    return hurry


@pytest.fixture
def armed(tmp_path):
    return tmp_path / "armed"


def built_files(cache: Path) -> dict[Path, int]:
    """Time of change of each built file; each one is whole, and is what its facts say."""
    files = {}
    for facts in (cache / "artifacts").glob("[!.]*/built.json"):
        built = json.loads(facts.read_text())
        file = facts.with_name(built["file"])
        assert hashlib.sha256(file.read_bytes()).hexdigest() == built["sha256"]
        files[file] = file.stat().st_mtime_ns
    assert len(files) == len(list((cache / "artifacts").glob("[!.]*"))), "every entry has its facts"
    return files


def drafts(cache: Path) -> list[Path]:
    return list((cache / "artifacts").glob(".zoo-draft-*"))


def test_a_worker_that_ends_while_it_builds_leaves_no_half_of_a_file(net, folders, armed, hurried, tmp_path):
    config = speed_only(net("bad", fault=AS_ARMED, stage="build_step"), runtimes=("onnxruntime",), throughput=True)
    where = {**folders, "cache": tmp_path / "cache"}

    def bench(fault: str):
        armed.write_text(fault)
        (bad,) = run_bench(Request(config, **where)).records
        return bad

    for fault in (KILL, HANG):
        hurried("build" if fault == HANG else "none")
        bad = bench(fault)
        assert (bad.status, bad.failure.step) == (ENDED[fault][0], "build")
        assert ENDED[fault][1] in bad.failure.reason
        assert bad.speed is None
        assert built_files(where["cache"]) == {}
    hurried("none")
    bad = bench(f"if len(image) == 2: {WHOLE_BUT_UNNAMED}")
    assert (bad.status, bad.failure.step, bad.failure.reason) == ("failed", "build", "ended by SIGKILL")
    assert None not in (bad.speed, bad.memory), "measured before"
    assert bad.throughput is None
    kept = built_files(where["cache"])
    assert len(kept) == 1
    assert any(list(draft.glob("made/*")) for draft in drafts(where["cache"])), "it had written it all"
    armed.unlink()
    finish(config, folders, finished=0, cache=where["cache"])
    assert built_files(where["cache"]).items() > kept.items()
    assert drafts(where["cache"]) == []


def test_a_worker_that_ends_while_it_fills_batches_keeps_the_rest(net, folders, armed, hurried):
    config = speed_only(net("bad", fault=AS_ARMED, stage="throughput_step"), throughput=True)
    for fault in (KILL, HANG):
        hurried("throughput" if fault == HANG else "none", batch_size=2)
        armed.write_text(f"if len(image) == 2: {fault}")
        (bad,) = run_bench(Request(config, **folders)).records
        assert (bad.status, bad.failure.step) == (ENDED[fault][0], "throughput")
        assert ENDED[fault][1] in bad.failure.reason
        assert bad.speed is not None
        assert bad.memory is not None
        assert bad.throughput is None
    hurried("none")
    armed.unlink()
    finish(config, folders, finished=0)


def test_a_worker_that_ends_while_it_compares_keeps_weights_file_and_numbers(
    streets, net, folders, armed, hurried, tmp_path
):
    models = net("bad", fault=AS_ARMED, stage="agreement_step")
    recipe = TrainConfig(name="tiny", steps=2, batch_size=2, crop_size=(32, 64), scale_range=(1.0, 1.0))
    config = speed_only(models, accuracy=True, train_missing=True, train=recipe, runtimes=("onnxruntime",))
    where = {**folders, "cache": tmp_path / "cache", "data": streets}
    kept = {}
    for fault in (KILL, HANG):
        hurried("agreement" if fault == HANG else "none")
        armed.write_text(fault)
        bad = run_bench(Request(config, **where)).records[-1]
        assert (bad.status, bad.failure.step) == (ENDED[fault][0], "agreement")
        assert ENDED[fault][1] in bad.failure.reason
        assert None not in (bad.speed, bad.accuracy, bad.memory)
        assert ("train" in bad.seconds, bad.build.cached) == (not kept, bool(kept))
        kept = kept or built_files(where["cache"])
        assert len(kept) == 1
        assert built_files(where["cache"]) == kept
    hurried("none")
    armed.unlink()
    finish(config, folders, finished=1, cache=where["cache"], data=streets)
    assert built_files(where["cache"]) == kept
    assert drafts(where["cache"]) == []


def test_a_pair_that_ends_badly_is_one_line(net, armed, hurried, tmp_path, capsys):
    one, bad = net("one", "bad", fault=AS_ARMED, stage="_step")
    config, cache = speed_only(()), tmp_path / "cache"
    one = f"{one},runtime=onnxruntime"
    armed.write_text(KILL)
    with pytest.raises(PairError, match=r"^net:bad,runtime=onnxruntime.*: ended by SIGKILL"):
        run_pair(config, f"{bad},runtime=onnxruntime", bad, cache=cache)
    assert built_files(cache) == {}
    preset = tmp_path / "preset.toml"
    preset.write_text(f"accuracy = false\nquick = true\ndevice = 'cpu'\nimage_size = {list(FRAME)}\n")
    assert cli.main(["bench", "--preset", str(preset), "--cache", str(cache), "--pair", one, bad]) == 3
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("zoo: net:bad,runtime=eager")
    assert error.endswith(": ended by SIGKILL\n")
    kept = built_files(cache)
    assert len(kept) == 1
    hurried("pair")
    armed.write_text(HANG)
    with pytest.raises(PairError, match=r"^net:bad,runtime=eager.*: no answer within 2 s"):
        run_pair(config, one, bad, cache=cache)
    hurried("none")
    armed.unlink()
    assert run_pair(config, one, bad, cache=cache).turn_count > 0
    assert built_files(cache) == kept
    assert drafts(cache) == []


# Sweeps of their own, ended from inside. One process imports everything once, and forks each of them.
NURSERY = """
    import json, os, re, resource, shutil, signal, sys, time, traceback
    import zoo.bench.sweep
    from zoo.cli import main as cli
    from zoo.bench import workshop

    workshop.PRELOAD.append("brief_budgets")
    real_bench = zoo.bench.sweep.run_bench

    def grow(job):
        seen = 0

        def arrive(name):
            nonlocal seen
            seen += bool(re.search(job["at"][0], name))
            if seen == job["at"][1]:
                seen += 1
                time.sleep(job["delay_s"])
                if job["how"] == "full":
                    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
                elif job["how"]:
                    os.kill(os.getpid(), job["how"])

        def bench(request, on_event):
            def both(event):
                on_event(event)
                arrive("record" if event.record else event.note)
            return real_bench(request, both)

        zoo.bench.sweep.run_bench = bench
        sys.addaudithook(lambda event, arguments: arrive("rename") if event == "os.rename" else None)
        os.environ[job["token"]] = "1"
        output = os.open(job["output"], os.O_WRONLY | os.O_CREAT)
        os.dup2(output, 1), os.dup2(output, 2)
        return cli.main(job["command"])

    print("ready", flush=True)
    for line in sys.stdin:
        children = []
        for job in json.loads(line):
            children.append(os.fork())
            if not children[-1]:
                code = 70
                try:
                    code = grow(job)
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(code)
        print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]), flush=True)
"""


@pytest.fixture(scope="module")
def sweeps():
    """`sweeps(job, ...)` runs sweeps at once, each in a process of its own, and returns their exit codes."""
    nursery = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(NURSERY)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert nursery.stdout.readline() == "ready\n"

    def run(*jobs) -> list[int]:
        nursery.stdin.write(json.dumps(jobs) + "\n")
        nursery.stdin.flush()
        return json.loads(nursery.stdout.readline())

    yield run
    nursery.stdin.close()
    nursery.wait(30)
    nursery.stdout.close()


@pytest.fixture
def job(folders, tmp_path):
    """Describe a sweep: `how` it ends (a signal, "full" for the disk, 0 for not at all) the n-th time `at` comes by."""

    def describe(config: BenchConfig, how=0, at=("never", 1), delay_s=0.0, **where):
        path = tmp_path / "preset.toml"
        path.write_text(f"accuracy = false\nquick = true\ndevice = 'cpu'\nimage_size = {list(FRAME)}\ntimeout_s = 99\n")
        command = ["bench", "--preset", str(path), "--models", ",".join(config.models)]
        command += [word for name, folder in folders.items() for word in (f"--{name}", str(folder))]
        return {
            "command": command,
            "how": how,
            "at": at,
            "delay_s": delay_s,
            "token": f"{TOKEN}_{os.getpid()}_{time.monotonic_ns()}",
            "output": str(tmp_path / "output.txt"),
        } | where

    return describe


def assert_no_orphan(token: str) -> None:
    """Everything that a sweep started, at any remove, carries `token` in its environment; all of it is gone."""
    deadline = time.monotonic() + 60
    while alive := [process for process in psutil.process_iter() if _carries(process, token)]:
        assert time.monotonic() < deadline, alive
        time.sleep(0.1)


def _carries(process: psutil.Process, token: str) -> bool:
    try:
        return token in process.environ()
    except psutil.Error:
        return False


ENDS = [
    (signal.SIGKILL, ("", 1)),  # importing torch
    (signal.SIGKILL, ("rename", 4)),  # between the two files of the first record
    (signal.SIGKILL, ("record", 1)),
    (signal.SIGTERM, ("network", 2)),
    (signal.SIGINT, ("pipeline", 1)),
    (signal.SIGINT, ("rename", 3)),
    ("full", ("record", 1)),
]


@pytest.mark.parametrize(("how", "at"), ENDS)
def test_a_sweep_that_ends_is_gone_on_with(how, at, net, folders, sweeps, job, tmp_path):
    config = speed_only(net("one", "two") if at in {("record", 1), ("network", 2)} else net("one"))
    ended = job(config, how, at)
    expected = 2 if how == "full" else 130 if how in {signal.SIGINT, signal.SIGTERM} else -how
    assert sweeps(ended) == [expected], (tmp_path / "output.txt").read_text()
    assert ("everything finished is kept" in (tmp_path / "output.txt").read_text()) == (expected == 130)
    assert_no_orphan(ended["token"])
    kept = store.scan(folders["results"])
    assert kept.warnings == ()
    if at[0] == "record":
        assert len(kept.records) == at[1]
    finish(config, folders, finished=len(kept.records))


@pytest.mark.parametrize(
    "fault",
    ["ctypes.PyDLL(None).sleep(600)", f"subprocess.Popen(['sleep', '{LONG}']).wait()"],
    ids=same_in_every_process,
)
def test_a_worker_that_hangs_dies_with_a_sweep_killed_outright(fault, net, folders, sweeps, job):
    config = speed_only(net("bad", fault=fault))
    ended = job(config, signal.SIGKILL, ("^measure", 1), delay_s=3.0)  # its network is tried on a frame first
    assert sweeps(ended) == [-signal.SIGKILL], Path(ended["output"]).read_text()
    assert_no_orphan(ended["token"])
    (folders["results"].parent / "armed").unlink()
    finish(config, folders, finished=0)


def test_two_sweeps_at_once_share_a_folder(net, folders, sweeps, job, tmp_path):
    config = speed_only(net("one", "two"))
    outputs = [tmp_path / name for name in ("first.txt", "second.txt")]
    jobs = [job(config, output=str(output)) for output in outputs]
    assert sweeps(*jobs) == [0, 0], [output.read_text() for output in outputs]
    measured = [int(re.search(r"cells measured: (\d)", output.read_text())[1]) for output in outputs]
    assert sum(measured) == 2
    finish(config, folders, finished=2)


def on_record(action):
    """Do `action` once, when the first record is kept."""
    waiting = [action]
    return lambda event: waiting.pop()() if event.record and waiting else None


def test_a_results_folder_deleted_under_the_sweep(net, folders):
    config = speed_only(net("one", "two"))
    run_bench(Request(config, **folders), on_record(lambda: shutil.rmtree(folders["results"])))
    assert len(store.scan(folders["results"]).records) == 1
    finish(config, folders, finished=1)


def test_a_results_folder_that_becomes_a_file(net, folders):
    config, results = speed_only(net("one", "two")), folders["results"]

    def swap() -> None:
        results.rename(results.with_name("aside"))
        results.touch()

    with pytest.raises(UserError, match=r"cannot claim a cell in .*: Not a directory; a file stands where"):
        run_bench(Request(config, **folders), on_record(swap))
    results.unlink()
    results.with_name("aside").rename(results)
    finish(config, folders, finished=1)


def test_a_fork_server_killed_outright(net, folders):
    def kill() -> None:
        os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)

    config = speed_only(net("one", "two"))
    sweep = run_bench(Request(config, **folders), on_record(kill))
    assert len(sweep.records) == 2
    finish(config, folders, finished=sum(record.status == "ok" for record in sweep.records))


def test_a_fork_server_killed_while_a_worker_runs(net, folders):
    waiting = [True]

    def kill(event) -> None:
        if event.note.endswith("network and pipeline scope") and waiting:
            waiting.clear()
            os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)

    config = speed_only(net("bad", "two", fault="time.sleep(1)"))
    sweep = run_bench(Request(config, **folders), kill)
    assert [record.status for record in sweep.records] == ["failed", "ok"]
    (folders["results"].parent / "armed").unlink()
    finish(config, folders, finished=1)


def test_a_temporary_folder_that_is_full(net, folders, monkeypatch):
    def full():
        raise OSError(28, "No space left on device")

    config = speed_only(net("one"))
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "TemporaryFile", full)
        with pytest.raises(UserError, match="cannot write to the temporary folder: No space left"):
            run_bench(Request(config, **folders))
    finish(config, folders, finished=0)
