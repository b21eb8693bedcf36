"""`thalweg down`: end what `thalweg up` started."""

import argparse
import os
import shutil
from concurrent.futures import ThreadPoolExecutor

from streams.config.settings import home
from streams.local.certificates import FOLDER
from streams.local.process.processes import end_process
from streams.local.services import FACTORIES
from streams.local.state import forget_state, read_state


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--wipe", action="store_true", help="also delete the data: topics, tables, logs")


def run(args: argparse.Namespace) -> int:
    """End both services in order; the data stays unless `--wipe`."""
    state = read_state()
    running = state.running() if state is not None else {}
    if running:
        with ThreadPoolExecutor(len(running)) as pool:
            list(pool.map(end_process, running.values()))
    forget_state()
    print(f"ended {' and '.join(running)}" if running else "nothing was running")
    if args.wipe:
        for name in (*FACTORIES, FOLDER):
            shutil.rmtree(home(os.environ) / name, ignore_errors=True)
        print(f"deleted the data in {home(os.environ)}")
    return 0
