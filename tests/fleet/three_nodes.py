"""A Ray cluster of three nodes on this machine, in a process of its own: it prints its address, and obeys lines."""

from __future__ import annotations

import os
import socket
import sys

os.environ |= {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # nothing listens beyond this machine
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
}

from ray.cluster_utils import Cluster


def main() -> None:
    with socket.socket() as ours:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # Ray's too says so: only others are kept off
        ours.bind(("127.0.0.1", 0))
        port = ours.getsockname()[1]
        head = {"num_cpus": 1, "include_dashboard": False, "ray_client_server_port": port}
        cluster = Cluster(initialize_head=True, head_node_args=head)
    others = [cluster.add_node(num_cpus=1) for _ in range(2)]
    print(f"ray://127.0.0.1:{port}", flush=True)
    for line in sys.stdin:
        if line.strip() == "kill":
            cluster.remove_node(others.pop(), allow_graceful=False)
            print("killed", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
