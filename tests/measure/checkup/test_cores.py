"""Cores, clocks and neighbours, read from a tree of files."""

from __future__ import annotations

import pytest

from zoo.measure.checkup import cores

CPU = "sys/devices/system/cpu"


def found(look):
    return [(finding.severity, finding.what) for finding in look.findings]


def test_a_machine_that_shows_nothing_is_no_mistake(system):
    root = system()
    for look in (cores.governor(root), cores.turbo(root), cores.threads_per_core(root)):
        assert look.seen == ""
        assert look.why
        assert look.findings == ()
    assert cores.usable(root).seen == "2 (0-1)"
    assert cores.virtual(root).seen == "a machine of its own"


def test_on_another_system_it_says_which_system_does_not_say(system, monkeypatch):
    root = system()
    monkeypatch.setattr(cores.platform, "system", lambda: "Darwin")
    assert {cores.governor(root).why, cores.turbo(root).why, cores.virtual(root).why} == {"Darwin does not say"}


@pytest.mark.parametrize(
    ("governors", "seen", "what"),
    [
        (("performance", "performance"), "performance", []),
        (("powersave", "powersave"), "powersave", ["the governor of cores 0-1 is powersave"]),
        (("performance", "schedutil"), "performance, schedutil", ["the governor of cores 1 is schedutil"]),
    ],
)
def test_governor(system, governors, seen, what):
    root = system({f"{CPU}/cpu{core}/cpufreq/scaling_governor": f"{name}\n" for core, name in enumerate(governors)})
    look = cores.governor(root)
    assert (look.seen, [finding.what for finding in look.findings]) == (seen, what)
    assert all("performance | sudo tee" in finding.advice and finding.effect for finding in look.findings)


@pytest.mark.parametrize(
    ("name", "text", "seen", "command"),
    [
        ("intel_pstate/no_turbo", "0", "on", "`echo 1 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo`"),
        ("intel_pstate/no_turbo", "1", "off", None),
        ("cpufreq/boost", "1", "on", "`echo 0 | sudo tee /sys/devices/system/cpu/cpufreq/boost`"),
        ("cpufreq/boost", "0", "off", None),
    ],
)
def test_turbo_of_both_makers(system, name, text, seen, command):
    look = cores.turbo(system({f"{CPU}/{name}": text}))
    assert look.seen == seen
    assert [command in finding.advice for finding in look.findings] == ([True] if command else [])


@pytest.mark.parametrize(
    ("siblings", "usable", "seen"),
    [
        (("0,2", "1,3", "0,2", "1,3"), (0, 1, 2, 3), "on, 4 threads of 2 cores"),
        (("0,2", "1,3", "0,2", "1,3"), (0, 1), "off, or one thread of each core is used"),
        (("0", "1"), (0, 1), "off, or one thread of each core is used"),
    ],
)
def test_two_threads_of_a_core(system, siblings, usable, seen):
    files = {f"{CPU}/cpu{core}/topology/thread_siblings_list": text for core, text in enumerate(siblings)}
    look = cores.threads_per_core(system(files, usable=usable, there=len(siblings)))
    assert look.seen == seen
    assert [finding.advice for finding in look.findings] == (
        ["compare `--threads 2` with the default, 4"] if seen.startswith("on") else []
    )


@pytest.mark.parametrize(
    ("files", "seen", "words"),
    [
        ({"sys/fs/cgroup/cpu.max": "max 100000"}, "4 of 16 (0-2,8)", None),
        ({"sys/fs/cgroup/cpu.max": "400000 100000"}, "4 of 16 (0-2,8), quota 4", None),
        ({"sys/fs/cgroup/cpu.max": "150000 100000"}, "4 of 16 (0-2,8), quota 1.5", "a quota allows 1.5 of 4 cores"),
        (
            {"sys/fs/cgroup/cpu.max": "150000 100000", "sys/fs/cgroup/cpu.stat": "nr_periods 9\nnr_throttled 7\n"},
            "4 of 16 (0-2,8), quota 1.5",
            "a quota allows 1.5 of 4 cores, and has halted this container 7 times",
        ),
        ({"sys/devices/system/node/online": "0"}, "4 of 16 (0-2,8)", None),
        (
            {"sys/devices/system/node/online": "0-1"},
            "4 of 16 (0-2,8), memory nodes 0-1",
            "the cores have 0-1 as memory",
        ),
    ],
)
def test_what_of_the_cores_is_ours(system, files, seen, words):
    look = cores.usable(system(files, usable=(0, 1, 2, 8), there=16))
    assert look.seen == seen
    assert [finding.what.startswith(words) for finding in look.findings] == ([True] if words else [])


def test_a_shell_that_changes_threads_is_named(system, monkeypatch):
    root = system()
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    monkeypatch.setenv("LD_PRELOAD", "/opt/lib/libjemalloc.so.2")
    (finding,) = cores.usable(root).findings
    assert finding.what == "set in this shell: OMP_WAIT_POLICY=passive, LD_PRELOAD=libjemalloc.so.2"
    assert finding.advice.startswith("`unset OMP_WAIT_POLICY LD_PRELOAD`")


@pytest.mark.parametrize(
    ("files", "seen", "notes"),
    [
        ({"proc/cpuinfo": "model name\t: X\nflags\t\t: fpu avx2\n"}, "a machine of its own", 0),
        ({"proc/cpuinfo": "flags\t\t: fpu\nbugs\t:\n", "run/.containerenv": ""}, "container", 0),
        (
            {"proc/cpuinfo": "model name\t: X\nflags\t\t: fpu hypervisor\n", "sys/class/dmi/id/sys_vendor": "QEMU\n"},
            "virtual machine (QEMU)",
            1,
        ),
        ({"proc/cpuinfo": "x\nflags: hypervisor", ".dockerenv": ""}, "virtual machine and container", 1),
    ],
)
def test_what_kind_of_machine_it_is(system, files, seen, notes):
    look = cores.virtual(system(files))
    assert (look.seen, len(look.findings)) == (seen, notes)


def test_numbers_are_written_as_linux_writes_them():
    assert cores.ranges([3, 0, 1, 2, 8]) == "0-3,8"
    assert cores.ranges([5]) == "5"
    assert cores.ranges([]) == ""


def test_a_file_that_is_no_text_is_as_good_as_none(tmp_path):
    (tmp_path / "odd").write_bytes(b"\xff\xfe")
    assert cores.text(tmp_path / "odd") == cores.text(tmp_path / "none") == ""
