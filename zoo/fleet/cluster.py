"""A Ray cluster as zoo sees it: joined in bounded time, its nodes, and the devices on them that measure.

Everything else of this room asks this file for Ray; nothing outside the room does.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import logging
import os
import re
import secrets
import socket
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zoo.errors import UserError, did_you_mean
from zoo.faults import reason
from zoo.lazy import Lazy

if TYPE_CHECKING:
    import ray
    import ray.exceptions
    import ray.util.scheduling_strategies
else:
    ray = Lazy("ray")

LOCAL = "local"
CPU = "cpu"
FORMS = f"{LOCAL} or ray://HOST:PORT"
HOW_TO_INSTALL = "pip install 'zoo-seg[fleet]'"
CONNECT_S = 10.0
"""How long a head may take to answer at its port."""

_ACCELERATOR = "accelerator_type:"
_DIED = ("Starting Ray client server failed", "start_specific_server", "Proxy failed to Connect to backend")
"""What a head says, some of it as a traceback, where the process that it starts for a client died or is not there."""
_TRACE = "Traceback (most recent call last)"
PAUSES_S = (1.0, 4.0, 16.0)
"""Before a head that said so is asked again."""
_ALWAYS = {"RAY_ENABLE_AUTO_CONNECT": "0"}
"""Else a connection that is lost is followed by a cluster of this machine that nobody asked for."""
_LOOPBACK = {
    # By its name for two other systems; it decides whether Ray's processes listen on every interface.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
    "RAY_NUM_REDIS_GET_RETRIES": "2",  # of a head that does not answer, 41 s each; Ray would try 20 times
}
"""For a cluster of this machine alone: nothing listens beyond it, no other user of it is let in, nothing is sent to
Ray's makers, workers have the priority of any other process, and a head that does not answer ends the start."""


@dataclass(frozen=True)
class Node:
    """One machine of a cluster."""

    id: str
    address: str
    """For a person's eyes alone: it stands in no record."""
    cpu_count: int
    gpu_count: int
    accelerator: str = ""
    """As Ray calls its GPUs, such as `T4`."""

    @property
    def devices(self) -> tuple[str, ...]:
        """What can be asked for of it: its accelerator, and `cpu`."""
        gpus = (self.accelerator or "gpu",) if self.gpu_count else ()
        return gpus + ((CPU,) if self.cpu_count else ())


@dataclass(frozen=True)
class Seat:
    """One device of a node that measures, and is nobody else's meanwhile."""

    node: Node
    device: str
    """As it was asked for: `cpu`, or an accelerator's name."""
    number: int = 0

    @property
    def is_cpu(self) -> bool:
        """Whether it is the processor of the node."""
        return self.device == CPU

    @property
    def place(self) -> tuple[str, str, int]:
        """What tells it from all others, whatever else its node has by now."""
        return self.node.id, self.device, self.number

    @property
    def name(self) -> str:
        """For a person: which node, and which of its devices."""
        many = not self.is_cpu and self.node.gpu_count > 1
        return f"{self.node.address} {self.device}{f' #{self.number}' if many else ''}"

    @property
    def options(self) -> dict[str, Any]:
        """How Ray places an actor on it, and keeps all else that asks Ray off it: a GPU, or every core of the node."""
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(self.node.id, soft=False)
        taken: dict[str, Any] = {"num_cpus": self.node.cpu_count} if self.is_cpu else {"num_cpus": 0, "num_gpus": 1}
        if not self.is_cpu and self.node.accelerator:
            taken["accelerator_type"] = self.node.accelerator
        return {**taken, "scheduling_strategy": here, "max_restarts": 0, "max_task_retries": 0}


@contextmanager
def joined(address: str) -> Iterator[None]:
    """Be a driver of the cluster at an address, until the end of this context.

    Args:
        address: `local` starts one of this machine alone, which ends with the context; `ray://HOST:PORT` is one whose
            head has Ray Client's port open.

    Raises:
        UserError: Ray is not installed, an address of another form, or nothing answers there.
    """
    head = _head_of(address)
    if importlib.util.find_spec("ray") is None:
        raise UserError(f"--fleet needs Ray, which is not installed: {HOW_TO_INSTALL}, here and on every node")
    if head is not None:
        _require_somebody(address, *head)
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    changes = _LOOPBACK | {"RAY_AUTH_TOKEN": secrets.token_hex(32)} if address == LOCAL else {}
    with _environment(_ALWAYS | changes):
        try:
            with warnings.catch_warnings(action="ignore"):  # what matters is raised too
                if address == LOCAL:
                    # without an address it joins what RAY_ADDRESS or the last `ray start` names, even if gone
                    ray.init(LOCAL, include_dashboard=False, **quiet)
                else:
                    _enter(address, quiet)
        except Exception as error:  # a head of another version raises anything from RuntimeError to gRPC's own
            raise UserError(_why_not_joined(address, error)) from error
        try:
            if address == LOCAL:
                _require_loopback()
            yield
        except BrokenPipeError:  # of whoever reads what is printed
            raise
        except ConnectionError as error:
            raise UserError(
                f"the connection to --fleet {address} was lost ({reason(error)}); what came is kept, and the same "
                "command goes on with the rest"
            ) from error
        finally:
            ray.shutdown()


def _enter(address: str, quiet: Mapping[str, Any]) -> None:
    """Be a client; again where the process that the head started for us died at once, as seen on busy heads."""
    for pause_s in PAUSES_S:
        try:
            ray.init(address, **quiet)
        except ConnectionAbortedError as error:
            if not any(said in str(error) for said in _DIED):
                raise
            time.sleep(pause_s)
        else:
            return
    ray.init(address, **quiet)


def _require_loopback() -> None:
    """See that a cluster of this machine alone is one."""
    for node in nodes():
        if not ipaddress.ip_address(node.address).is_loopback:
            raise UserError(
                f"--fleet {LOCAL}: Ray would listen at {node.address}, for others to reach, since this process had "
                "imported it before; begin in a new process"
            )


def _head_of(address: str) -> tuple[str, int] | None:
    if address == LOCAL:
        return None
    found = re.fullmatch(r"ray://(\[[0-9A-Fa-f:]+\]|[^:/\s]+):(\d{1,5})", address)
    if found is None or not 0 < int(found[2]) < 2**16:
        raise UserError(f"--fleet takes {FORMS}, such as ray://head:10001; got {address!r}")
    return found[1].strip("[]"), int(found[2])


def _require_somebody(address: str, host: str, port: int) -> None:
    """See that something listens there: Ray itself would wait for half a minute."""
    try:
        socket.create_connection((host, port), CONNECT_S).close()
    except OSError as error:
        raise UserError(
            f"nothing answers at {address} ({reason(error)}); start a head there with `ray start --head`, whose "
            "clients' port is 10001 unless --ray-client-server-port says another"
        ) from error


def _why_not_joined(address: str, error: Exception) -> str:
    text = str(error).strip()
    if _TRACE in text:
        text = text.splitlines()[-1]  # says what it is
    said = " ".join(text.split())[:300] or type(error).__name__
    advice = {
        LOCAL: "see that this machine has some memory and room in its temporary folder left",
    }.get(
        address, "see that zoo, Ray and Python are the same there, and RAY_AUTH_MODE and the token if it asks for one"
    )
    return f"--fleet {address}: Ray does not let us in ({said}); {advice}"


@contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def nodes() -> list[Node]:
    """The nodes that live, in the order of their addresses."""
    found = [_node(one) for one in ray.nodes() if one["Alive"]]
    return sorted(found, key=lambda node: (node.address, node.id))


def _node(told: Mapping[str, Any]) -> Node:
    resources = told["Resources"]
    kinds = sorted((name for name in resources if name.startswith(_ACCELERATOR)), key=len)
    return Node(
        told["NodeID"],
        told["NodeManagerAddress"],
        int(resources.get("CPU", 0)),
        int(resources.get("GPU", 0)),
        kinds[0].removeprefix(_ACCELERATOR) if kinds else "",
    )


def seats(found: Iterable[Node], asked: Sequence[str]) -> list[Seat]:
    """Choose the devices that measure.

    Args:
        found: Nodes that live.
        asked: Accelerators as Ray calls them, and `cpu`; none: every GPU, and the processor of nodes without one.

    Raises:
        UserError: no node has one of them.
    """
    found, wanted = list(found), {name.lower() for name in asked}
    there = sorted({device for node in found for device in node.devices})
    for name in asked:
        if name.lower() not in map(str.lower, there):
            have = f"has {', '.join(there)}" if there else "has no node that may be measured on"
            raise UserError(
                f"--on {name}: the fleet {have}.{did_you_mean(name, there)} Name one of these, or add a node with it"
            )
    chosen = list[Seat]()
    for node in found:
        devices = [name for name in node.devices if name.lower() in wanted] if wanted else node.devices[:1]
        for device in devices:
            count = 1 if device == CPU else node.gpu_count
            chosen += [Seat(node, device, number) for number in range(count)]
    if not chosen:
        raise UserError("the fleet has no node with a core or a GPU to measure on; add one with `ray start`")
    return chosen


def nodes_of(found: Iterable[Seat]) -> list[Node]:
    """Return the nodes of devices, each once."""
    return list({seat.node.id: seat.node for seat in found}.values())


def is_lost(error: BaseException) -> bool:
    """Whether an answer did not come because its process, or the whole node, has gone."""
    return isinstance(error, ray.exceptions.RayError) and not isinstance(error, ray.exceptions.RayTaskError)
