"""`thalweg worker`: one process that follows the behaviour topic and keeps representations current.

It ends with an exception's text and exit code 1 where it cannot go on; whatever runs it (systemd, Kubernetes, compose)
starts it again, and it goes on from the last commit.
"""

import argparse
import contextlib
import ctypes
import gc
import logging
import sys

import faust

from export.runtime.bundle import Bundle
from export.runtime.resident_states import ResidentStates
from export.runtime.stepper import Stepper, cuda_failure
from streams.broker.publisher import Publisher
from streams.broker.topics import ensure_topics
from streams.config.errors import ThalwegError
from streams.config.log_filters import RateLimitFilter, strip_traceback
from streams.config.settings import Settings, load_settings
from streams.engine.arena import Arena
from streams.engine.device import ROWS_AN_EVENT, DeviceProcessor
from streams.engine.processor import Processor
from streams.engine.sampling import Sample
from streams.health.metrics import Measures
from streams.health.watchdog import Watchdog
from streams.store.user_rows import Store
from streams.worker import app as application
from streams.worker.pipeline import Pipeline
from streams.worker.rebuild import Rebuilder
from streams.worker.source import Source

# A thread that wants the interpreter waits this long for one that computes, and a batch's way crosses threads some
# eight times. Under full load half of it costs 4% more CPU, for switches that come to nothing.
SWITCH_S = 0.001
# Containers made and not freed, in the first place those of the events in flight: 64,000 of them hold half as many.
COLLECT_AFTER = 1_000_000
# Arrays as large as these are of batches of many users. By default glibc learns a bound from what is freed, up to 32
# MB, and keeps what is smaller: with a bound of 4 MB, a worker that has taken in a million users holds 2,446 MB instead
# of 2,661. With 1 MB it is 2,399, and arrays of usual batches fault their pages in again each time.
MAPPED_BYTES = 4 * 2**20
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


class Worker(faust.Worker):
    """Tells the application of a signal at once: what it is doing then may be what does not end."""

    def _on_sigint(self) -> None:
        self.app.stopping()
        super()._on_sigint()

    def _on_sigterm(self) -> None:
        self.app.stopping()
        super()._on_sigterm()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", help="folder of the bundle (default: the setting `bundle`)")
    parser.add_argument("--log-level", default="WARNING", choices=["DEBUG", "INFO", "WARNING", "ERROR"])


def run(args: argparse.Namespace) -> int:
    settings = load_settings()
    bundle = Bundle.load(settings.bundle_folder(args.bundle))
    logging.basicConfig(level=args.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(RateLimitFilter())
        handler.addFilter(strip_traceback)
    ensure_topics(settings)
    store = Store(settings, bundle)
    store.connect()
    store.announce()
    stepper = Stepper(bundle)
    arena = Arena(settings.arena_max_users, bundle.manifest.state_width, bundle.manifest.representation_width)
    processor = _processor(bundle, stepper, arena, settings)
    measures = Measures()
    measures.users.set_function(lambda: len(arena))
    measures.store_retries.set_function(lambda: store.retries)
    publisher = Publisher(
        settings, settings.consumer_group_id(bundle.bundle_id), bundle.bundle_id, bundle.manifest.items
    )
    rebuild = Rebuilder(settings, bundle, stepper, measures).rebuild
    pipeline = Pipeline(processor, store, publisher, measures, rebuild)
    watchdog = Watchdog(settings.stall_limit_s, lambda: pipeline.in_flight)
    source = Source(settings, bundle, store)
    app = application.build(settings, bundle, source, pipeline, store, publisher, measures, watchdog)
    worker = Worker(app, loglevel=args.log_level, redirect_stdouts=False, quiet=True)
    worker.override_logging = False
    worker.spinner = None  # its escape codes would stand in every log
    watchdog.start()
    _rest_the_collector()
    give_back_large_arrays()
    sys.setswitchinterval(SWITCH_S)
    return _execute(worker)


def _processor(bundle: Bundle, stepper: Stepper, arena: Arena, settings: Settings) -> Processor:
    """With the states on the GPU where there is one and the bundle has graphs for it.

    On the CPU the plain path is cheaper, by 5% to 22% of an event's CPU time (5,000 items): it pads and copies less.
    """
    failure = cuda_failure()
    on_gpu = failure is None and bundle.has_gpu_graphs
    hint = "; export the bundle with --gpu to use the GPU" if failure is None and not on_gpu else ""
    where = "on the GPU" if on_gpu else "on the CPU" + (f": {failure}" if failure else hint)
    print(f"thalweg worker: bundle {bundle.bundle_id}, states {where}", flush=True)
    sample = Sample(settings.behavior_topic, settings.evaluation_share)
    if not on_gpu:
        return Processor(bundle, stepper, arena, sample)
    if bundle.gpu_ranks_in_float16:
        print(f"thalweg worker: {_of_half_ranks(bundle)}", flush=True)
    resident = ResidentStates(bundle, arena.capacity + ROWS_AN_EVENT * settings.batch_max_events)
    return DeviceProcessor(bundle, stepper, arena, resident, sample)


def _of_half_ranks(bundle: Bundle) -> str:
    near = bundle.manifest.parity["half_ranks"]["best_items"]
    return (
        f"ranks are in float16 and not exact: near the top {near['differ_share']:.1%} differ from float32, by up to "
        f"{near['max_abs_difference']} places; export without --half for exact ones"
    )


def _rest_the_collector() -> None:
    """Have the cycle collector look seldom, and not at what is there for good.

    A batch makes a container or two an event, all freed by their counts; by its defaults the collector walks through
    them, and through all modules, again and again: an eighth of the worker's time. Cycles are few (an exception and its
    traceback: none in 26,000 events), so that there is no hurry.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 10, 10)


def give_back_large_arrays() -> None:
    """Have arrays of MAPPED_BYTES and more go back to the system when they are freed. Where the C library is glibc."""
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES)
        mallopt(M_TRIM_THRESHOLD, 2 * MAPPED_BYTES)


def _execute(worker: faust.Worker) -> int:
    """Run until a signal or a failure. Raises the ThalwegError that ended it."""
    try:
        worker.execute_from_commandline()
    except SystemExit as end:
        if isinstance(worker.crash_reason, ThalwegError):
            raise worker.crash_reason from None
        if end.code:
            raise
    print("thalweg worker: stopped; everything it took is confirmed and committed", flush=True)
    return 0
