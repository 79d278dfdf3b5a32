"""Joining a cluster and choosing its devices: every mistake is one line, and a local cluster is nobody else's."""

from __future__ import annotations

import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from zoo.errors import UserError
from zoo.fleet import cluster
from zoo.fleet.cluster import Node, joined, seats

T4 = Node("1", "10.0.0.1", 8, 2, "T4")
A100 = Node("2", "10.0.0.2", 64, 1, "A100")
UNNAMED = Node("3", "10.0.0.3", 4, 1)
PLAIN = Node("4", "10.0.0.4", 16, 0)
HEAD = Node("5", "10.0.0.5", 0, 0)
ALL = [T4, A100, UNNAMED, PLAIN, HEAD]


@pytest.fixture
def closed_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def names(found):
    return [seat.name for seat in found]


def test_by_default_gpus_measure_and_processors_of_nodes_without():
    assert names(seats(ALL, [])) == [
        *("10.0.0.1 T4 #0", "10.0.0.1 T4 #1", "10.0.0.2 A100", "10.0.0.3 gpu", "10.0.0.4 cpu")
    ]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (["t4"], ["10.0.0.1 T4 #0", "10.0.0.1 T4 #1"]),
        (["A100", "cpu"], ["10.0.0.1 cpu", "10.0.0.2 A100", "10.0.0.2 cpu", "10.0.0.3 cpu", "10.0.0.4 cpu"]),
        (["gpu"], ["10.0.0.3 gpu"]),
    ],
)
def test_on_names_kinds_of_devices(asked, found):
    assert names(seats(ALL, asked)) == found


@pytest.mark.parametrize(
    ("there", "asked", "said"),
    [
        (ALL, ["H100"], r"--on H100: the fleet has A100, T4, cpu, gpu\. .*Name one of these, or add a node with it"),
        ([PLAIN], ["T4"], r"--on T4: the fleet has cpu\."),
        ([HEAD], ["cpu"], r"--on cpu: the fleet has no node that may be measured on\."),
        ([HEAD], [], "the fleet has no node with a core or a GPU to measure on"),
    ],
)
def test_a_device_that_is_not_there_is_one_line(there, asked, said):
    with pytest.raises(UserError, match=said) as raised:
        seats(there, asked)
    assert "\n" not in str(raised.value)


def test_a_node_as_ray_tells_of_it():
    pytest.importorskip("ray")
    resources = {"CPU": 8.0, "GPU": 2.0, "accelerator_type:A100": 1.0, "accelerator_type:A100-40G": 1.0, "memory": 9e9}
    told = {"NodeID": "1" * 56, "NodeManagerAddress": "10.0.0.1", "Alive": True, "Resources": resources}
    node = cluster._node(told)
    assert (node.cpu_count, node.gpu_count, node.accelerator) == (8, 2, "A100")
    gpu, _, processor = seats([node], ["a100", "cpu"])
    assert gpu.options.items() >= {"num_cpus": 0, "num_gpus": 1, "accelerator_type": "A100"}.items()
    assert processor.options["num_cpus"] == 8, "nothing else that asks Ray runs beside it"
    assert processor.options["scheduling_strategy"].node_id == "1" * 56
    assert processor.options["scheduling_strategy"].soft is False


@pytest.mark.parametrize(
    "address", ["", "head", "head:10001", "ray://head", "ray://head:0", "ray://head:99999", "Local", "auto"]
)
def test_an_address_of_another_form_is_one_line(address):
    with pytest.raises(UserError, match=r"--fleet takes local or ray://HOST:PORT"), joined(address):
        pass


def test_without_ray_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda _name: None)
    with (
        pytest.raises(UserError, match=r"Ray, which is not installed: pip install 'zoo-seg\[fleet\]'"),
        joined("local"),
    ):
        pass


def test_no_head_there_is_one_line_and_no_wait(closed_port):
    pytest.importorskip("ray")
    said = rf"nothing answers at ray://127.0.0.1:{closed_port} \(.+\); start a head"
    with pytest.raises(UserError, match=said) as raised, joined(f"ray://127.0.0.1:{closed_port}"):
        pass
    assert "\n" not in str(raised.value)


TRACE = """Traceback (most recent call last):
  File "/opt/ray/util/client/server/proxier.py", line 765, in Datapath
    if not self.proxy_manager.start_specific_server(
psutil.ZombieProcess: PID still exists
"""
"""Of a head whose process for a client was gone when it looked."""


@pytest.mark.parametrize(
    ("said", "death_count", "try_count"),
    [
        ("Starting Ray client server failed. See …", 0, 1),
        ("Starting Ray client server failed. See …", 1, 2),
        ("Starting Ray client server failed. See …", 3, 4),
        ("Starting Ray client server failed. See …", 4, 4),
        (TRACE, 1, 2),
        (TRACE, 4, 4),
        ("Proxy failed to Connect to backend! Check …", 1, 2),
        ("no", 1, 1),
    ],
)
def test_a_head_whose_process_for_us_dies_is_asked_again(said, death_count, try_count, monkeypatch):
    pytest.importorskip("ray")
    tries = []

    def init(address, **_):
        tries.append(address)
        if len(tries) <= death_count:
            raise ConnectionAbortedError(f"Initialization failure from server:\n{said}")

    monkeypatch.setattr(cluster.ray, "init", init)
    monkeypatch.setattr(cluster.ray, "shutdown", lambda: None)
    monkeypatch.setattr(cluster, "PAUSES_S", (0, 0, 0))
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"ray://127.0.0.1:{head.getsockname()[1]}"
        entered = joined(address)
        if death_count < try_count:
            with entered:
                pass
        else:
            with pytest.raises(UserError, match="Ray does not let us in") as raised, entered:
                pass
            assert "\n" not in str(raised.value)
            assert (said == TRACE) == ("(psutil.ZombieProcess: PID still exists)" in str(raised.value))
    assert tries == [address] * try_count


LISTENING = """
    import os, psutil
    from zoo.fleet.cluster import joined, nodes
    if __name__ == "__main__":
        with joined("local"):
            assert len(nodes()) == 1
            here, found = psutil.Process(), 0
            for process in (here, *here.children(recursive=True)):
                for one in process.net_connections("inet"):
                    if one.status == psutil.CONN_LISTEN:
                        found += 1
                        address = one.laddr.ip.removeprefix("::ffff:")
                        assert address in ("127.0.0.1", "::1"), (process.name(), one.laddr)
            assert found > 3, "Ray's own ports were seen"
            assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
        assert "RAY_AUTH_TOKEN" not in os.environ
        assert not os.path.exists(os.path.expanduser("~/.ray")), "Ray keeps no token here"
        print("nothing beyond")
"""


@pytest.mark.slow
def test_a_local_cluster_is_its_own_and_listens_to_this_machine_alone(surroundings, closed_port, tmp_path):
    pytest.importorskip("ray")
    gone = f"127.0.0.1:{closed_port}"
    last_started = Path(surroundings["TMPDIR"], "ray", "ray_current_cluster")
    last_started.parent.mkdir(exist_ok=True)
    last_started.write_text(gone)
    script = tmp_path / "listening.py"
    script.write_text(textwrap.dedent(LISTENING))
    done = subprocess.run(
        [sys.executable, script],
        env={**surroundings, "HOME": str(tmp_path), "RAY_ADDRESS": gone},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.stdout == "nothing beyond\n", done.stderr
