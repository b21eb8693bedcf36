"""Where ONNX Runtime ran each node of a graph.

The provider of a session says only where the nodes may run. The session's profile says where they ran.
"""

from pathlib import Path
from typing import Any

import msgspec

from encoder.errors import BundleError

COPIES = ("MemcpyFromHost", "MemcpyToHost")


def check_placement(profile: Path, provider: str) -> int:
    """The number of nodes in a session's profile, which all ran on `provider`, without a copy from or to the host.

    profile: the file that `InferenceSession.end_profiling` wrote. Raises BundleError with the names of nodes that ran
    elsewhere, and where the profile has no nodes, because such a profile proves nothing.
    """
    events: list[dict[str, Any]] = msgspec.json.decode(profile.read_bytes())
    nodes = {event["name"]: event["args"] for event in events if event.get("cat") == "Node" and "args" in event}
    nodes = {name: node for name, node in nodes.items() if node.get("provider")}
    if not nodes:
        raise BundleError(f"the profile {profile} has no node: this ONNX Runtime does not say where its nodes run")
    misplaced = [
        f"{node['op_name']} {name} on {node['provider']}"
        for name, node in nodes.items()
        if node["provider"] != provider or node["op_name"] in COPIES
    ]
    if misplaced:
        raise BundleError(
            f"{len(misplaced)} of {len(nodes)} nodes do not stay on {provider}: {', '.join(misplaced[:5])}; this "
            "version of ONNX Runtime has no kernel for them there: export the bundle without --gpu"
        )
    return len(nodes)
