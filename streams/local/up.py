"""`thalweg up`: start a local Kafka and a local Cassandra, which run until `thalweg down`."""

import argparse
import os
import sys
import time

from encoder.commands.preconditions import check_writable
from streams.config.local_state import home
from streams.local.services import prepare
from streams.local.state_file import LocalState, delete_state, read_state, write_state


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--secure", action="store_true", help="use TLS, a user and random passwords")


def run(args: argparse.Namespace) -> int:
    """Start both services, write `local.json` and print the addresses."""
    state = read_state()
    running = {} if state is None else state.running_pids()
    if state is None or not running:
        return _start(args.secure)
    if len(running) < len(state.pids):
        print(f"only {', '.join(running)} still runs: run `thalweg down` first", file=sys.stderr)
        return 1
    if args.secure != state.is_secure:
        option = "with" if state.is_secure else "without"
        message = f"already running the other way, {option} --secure: run `thalweg down` first"
        print(message, file=sys.stderr)
        return 1
    print("already running")
    _print_addresses(state)
    return 0


def _start(secure: bool) -> int:
    began_s = time.monotonic()
    data_dir = home(os.environ).absolute()
    check_writable(data_dir, f"THALWEG_HOME {data_dir}")
    data_dir.mkdir(parents=True, exist_ok=True)
    services = prepare(data_dir, ["kafka", "cassandra"], ends_with_parent=False, secure=secure)
    services.start()
    pids = {name: service.pid or 0 for name, service in services.services.items()}
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
    print(f"  Kafka          {state.client_settings['broker']}  (pid {state.pids['kafka']})")
    print(f"  Cassandra      {state.client_settings['cassandra']}  (pid {state.pids['cassandra']})")
    print(f"  data and logs  {state.data_dir}")
