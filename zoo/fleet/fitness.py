"""Asks every node whether it is fit before anything runs there: the same code, and what is needed beside it."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import TYPE_CHECKING

from zoo.errors import UserError, listed
from zoo.fleet import probe
from zoo.fleet.cluster import Node, is_lost
from zoo.fleet.needs import Needs
from zoo.identity import package_sha256
from zoo.lazy import Lazy

if TYPE_CHECKING:
    import ray
    import ray.cloudpickle
    import ray.util.scheduling_strategies
else:
    ray = Lazy("ray")

PATIENCE_S = 600.0
"""How long nodes may take to answer: they read every label of their data for its fingerprint."""


def require_fit(nodes: Sequence[Node], needs: Needs) -> None:
    """Ask every node at once whether it has what is needed.

    Raises:
        UserError: one has not, or gives no answer.
    """
    ray.cloudpickle.register_pickle_by_value(probe)
    try:
        ask = ray.remote(probe.look)
        here, affinity = probe.versions(), ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        asked = {
            ask.options(num_cpus=0, max_retries=0, scheduling_strategy=affinity(node.id, soft=False)).remote(
                here, package_sha256(), pickle.dumps(needs)
            ): node
            for node in nodes
        }
    finally:
        ray.cloudpickle.unregister_pickle_by_value(probe)
    _, silent = ray.wait(list(asked), num_returns=len(asked), timeout=PATIENCE_S)
    unfit = [f"{asked[one].address}: no answer within {PATIENCE_S:.0f} s" for one in silent]
    for one, node in asked.items():
        if one not in silent and (why := _answer(one)):
            unfit.append(f"{node.address}: {why}")
    if unfit:
        more = f" (and {len(unfit) - 1} more: {listed([one.partition(':')[0] for one in unfit[1:]])})"
        raise UserError(
            f"node {unfit[0]}{more if len(unfit) > 1 else ''}; mend that, or take the node out of the fleet"
        )


def _answer(asked: ray.ObjectRef[str]) -> str:
    try:
        return str(ray.get(asked))
    except Exception as error:
        if is_lost(error):
            return "the node was lost while it was asked"
        raise
