"""`thalweg down`: stop the services that `thalweg up` started."""

import argparse
import os
import shutil
from concurrent.futures import ThreadPoolExecutor

from streams.config.local_state import home
from streams.local.credentials import CREDENTIALS_FOLDER
from streams.local.nodes import NODE_COUNTS
from streams.local.process.process_ids import end_process
from streams.local.services import SERVICE_FACTORIES
from streams.local.state_file import delete_state, read_state


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--wipe", action="store_true", help="also delete the data: topics, tables, logs")


def run(args: argparse.Namespace) -> int:
    """Stop all nodes at the same time. The data stays unless `--wipe` is given."""
    state = read_state()
    running = state.running_pids() if state is not None else {}
    if running:
        with ThreadPoolExecutor(len(running)) as pool:
            list(pool.map(end_process, running.values()))
    delete_state()
    print(f"ended {', '.join(running)}" if running else "nothing was running")
    if args.wipe:
        suffixes = ["", *(f"-{number}" for number in range(2, max(NODE_COUNTS) + 1))]
        for name in (*(service + suffix for service in SERVICE_FACTORIES for suffix in suffixes), CREDENTIALS_FOLDER):
            shutil.rmtree(home(os.environ) / name, ignore_errors=True)
        print(f"deleted the data of Kafka and Cassandra in {home(os.environ)}")
    return 0
