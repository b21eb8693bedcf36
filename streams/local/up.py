"""`thalweg up`: start a local Kafka and a local Cassandra, of one or three nodes, which run until `thalweg down`."""

import argparse
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from encoder.commands.preconditions import check_writable
from streams.config.local_state import home
from streams.local.nodes import NODE_COUNTS
from streams.local.services import prepare
from streams.local.state_file import FILE, LocalState, delete_state, read_state, write_state


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--secure", action="store_true", help="use TLS, a user and random passwords")
    parser.add_argument(
        "--nodes",
        type=int,
        choices=NODE_COUNTS,
        default=1,
        help="brokers, and nodes of Cassandra; three of them replicate everything (default: 1)",
    )


def run(args: argparse.Namespace) -> int:
    """Start what does not run yet, write `local.json` and print the addresses."""
    state = read_state()
    running = {} if state is None else state.running_pids()
    if state is None or not running:
        return _start(args.secure, args.nodes)
    if (args.secure, args.nodes) != (state.is_secure, state.nodes):
        options = f"{' --secure' if state.is_secure else ''}{f' --nodes {state.nodes}' if state.nodes > 1 else ''}"
        print(
            f"already started by `thalweg up{options}`: run this command to start what has ended, "
            "or run `thalweg down` first",
            file=sys.stderr,
        )
        return 1
    if len(running) < len(state.pids):
        return _start_missing(state, running)
    print("already running")
    _print_addresses(state)
    return 0


def _start(secure: bool, nodes: int) -> int:
    began_s = time.monotonic()
    data_dir = home(os.environ).absolute()
    check_writable(data_dir, f"THALWEG_HOME {data_dir}")
    data_dir.mkdir(parents=True, exist_ok=True)
    services = prepare(data_dir, ["kafka", "cassandra"], ends_with_parent=False, secure=secure, nodes=nodes)
    services.start()
    pids = {name: node.pid or 0 for name, node in services.processes.items()}
    state = LocalState(services.client_settings, pids, str(data_dir))
    # Written before the services are ready: when `up` is killed now, `down` still finds the processes.
    write_state(state)
    try:
        services.wait_until_ready()
    except BaseException:  # Ctrl-C as well: the services are stopped, so the file must not name them
        delete_state()
        raise
    print(f"up in {time.monotonic() - began_s:.1f} s; `thalweg down` stops all of them")
    _print_addresses(state)
    return 0


def _start_missing(state: LocalState, running: Mapping[str, int]) -> int:
    """Start the nodes that have ended by themselves, on their data and ports. The others go on."""
    began_s, data_dir = time.monotonic(), Path(state.data_dir)
    services = prepare(
        data_dir,
        ["kafka", "cassandra"],
        ends_with_parent=False,
        secure=state.is_secure,
        nodes=state.nodes,
        are_running=True,
    )
    missing = {name: node for name, node in services.processes.items() if name not in running}
    try:
        for node in missing.values():
            node.start(wait=False)
        state = msgspec.structs.replace(
            state, pids={**state.pids, **{name: node.pid or 0 for name, node in missing.items()}}
        )
        write_state(state)
        for node in missing.values():
            node.wait_until_ready()
    except BaseException:  # Ctrl-C as well: the next `up` tries again
        for node in missing.values():
            node.kill()
        raise
    print(f"{', '.join(missing)} started again in {time.monotonic() - began_s:.1f} s")
    _print_addresses(state)
    return 0


def _print_addresses(state: LocalState) -> None:
    for service, title in (("broker", "Kafka"), ("cassandra", "Cassandra")):
        pids = ", ".join(str(pid) for name, pid in state.pids.items() if name.startswith(title.lower()))
        print(f"  {title:<13}  {state.client_settings[service]}  (pid {pids})")
    print(f"  replication    {state.nodes}  (THALWEG_REPLICATION)")
    print(f"  data and logs  {state.data_dir}")
    if state.is_secure:
        print(f"  logins         {home(os.environ) / FILE}")
