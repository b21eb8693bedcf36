"""`thalweg up`: a local Kafka and Cassandra that stay until `thalweg down`."""

import argparse
import os
import sys
import time

from streams.config.settings import home
from streams.local.services import prepare
from streams.local.state import LocalState, forget_state, read_state, write_state


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--secure", action="store_true", help="with TLS, a user and random passwords")


def run(args: argparse.Namespace) -> int:
    """Start what is not running yet, write `local.json`, say where both are."""
    state = read_state()
    if state is not None and len(state.running()) == len(state.pids):
        if args.secure != state.secure:
            print("already running the other way, with or without --secure: `thalweg down` first", file=sys.stderr)
            return 1
        print("already running")
        _describe(state)
        return 0
    if state is not None and state.running():
        print(f"only {', '.join(state.running())} still runs: `thalweg down` first", file=sys.stderr)
        return 1
    began = time.monotonic()
    data_dir = home(os.environ).absolute()
    data_dir.mkdir(parents=True, exist_ok=True)
    services = prepare(data_dir, ["kafka", "cassandra"], bound=False, secure=args.secure)
    services.spawn()
    pids = {name: service.pid or 0 for name, service in services.services.items()}
    state = LocalState(services.access, pids, str(data_dir))
    write_state(state)  # before they answer: an `up` that is killed meanwhile leaves what `down` can end
    try:
        services.wait_until_they_answer()
    except BaseException:  # Ctrl-C as well: the services are gone, so nobody may look for them
        forget_state()
        raise
    print(f"up in {time.monotonic() - began:.1f} s; `thalweg down` ends both")
    _describe(state)
    return 0


def _describe(state: LocalState) -> None:
    print(f"  Kafka      {state.access['broker']}  (pid {state.pids['kafka']})")
    print(f"  Cassandra  {state.access['cassandra']}  (pid {state.pids['cassandra']})")
    print(f"  data, logs {state.data_dir}")
