"""Where ONNX Runtime ran each node of a graph: a session's provider says where it may run, its profile where it did."""

from pathlib import Path
from typing import Any

import msgspec

from encoder.errors import BundleError

COPIES = ("MemcpyFromHost", "MemcpyToHost")


def check_placement(profile: Path, provider: str) -> int:
    """Number of nodes in a session's profile, all of which ran on `provider` with no copy between host and device.

    profile: what `InferenceSession.end_profiling` wrote. Raises BundleError naming the nodes that ran elsewhere, or
    where the profile has no nodes, since it then proves nothing.
    """
    events: list[dict[str, Any]] = msgspec.json.decode(profile.read_bytes())
    ran = {event["name"]: event["args"] for event in events if event.get("cat") == "Node" and "args" in event}
    ran = {name: args for name, args in ran.items() if args.get("provider")}
    if not ran:
        raise BundleError(f"the profile {profile} has no node: this ONNX Runtime does not say where its nodes run")
    wrong = [
        f"{args['op_name']} {name} on {args['provider']}"
        for name, args in ran.items()
        if args["provider"] != provider or args["op_name"] in COPIES
    ]
    if wrong:
        raise BundleError(
            f"{len(wrong)} of {len(ran)} nodes do not stay on {provider}: {', '.join(wrong[:5])}; this version of ONNX "
            "Runtime has no kernel for them there: export the bundle without --gpu"
        )
    return len(ran)
