"""`thalweg up`: start a local Kafka and a local Cassandra, of one or three nodes, which run until `thalweg down`."""

import argparse
import os
import sys
import time

from encoder.commands.preconditions import check_writable
from streams.config.local_state import home
from streams.local.nodes import NODE_COUNTS
from streams.local.services import prepare
from streams.local.state_file import LocalState, delete_state, read_state, write_state


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
    """Start both services, write `local.json` and print the addresses."""
    state = read_state()
    running = {} if state is None else state.running_pids()
    if state is None or not running:
        return _start(args.secure, args.nodes)
    if len(running) < len(state.pids):
        print(f"of the local services, only {', '.join(running)} still runs: run `thalweg down` first", file=sys.stderr)
        return 1
    if (args.secure, args.nodes) != (state.is_secure, state.nodes):
        options = f"{'with' if state.is_secure else 'without'} --secure, with --nodes {state.nodes}"
        print(f"already running the other way, {options}: run `thalweg down` first", file=sys.stderr)
        return 1
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
    print(f"up in {time.monotonic() - began_s:.1f} s; `thalweg down` stops both services")
    _print_addresses(state)
    return 0


def _print_addresses(state: LocalState) -> None:
    for service, title in (("broker", "Kafka"), ("cassandra", "Cassandra")):
        pids = ", ".join(str(pid) for name, pid in state.pids.items() if name.startswith(title.lower()))
        print(f"  {title:<13}  {state.client_settings[service]}  (pid {pids})")
    print(f"  replication    {state.nodes}  (THALWEG_REPLICATION)")
    print(f"  data and logs  {state.data_dir}")
