"""`thalweg worker`: one worker in this process, or several as child processes of a supervisor.

A worker that cannot go on ends with the text of its error and exit code 1. With `--processes`, the supervisor starts
such a process again, unless somebody has to change something first. Without, that is the job of systemd, Kubernetes or
compose. A worker continues from its last commit.
"""

import argparse
import asyncio
import os
import signal

import msgspec

from streams.config.errors import ThalwegError
from streams.config.loading import load_settings
from streams.config.settings import Settings
from streams.health.endpoints import HttpServer
from streams.supervisor.answers import Answers
from streams.supervisor.link import Link, Report
from streams.supervisor.membership import instance_ids, leave
from streams.supervisor.merged_metrics import MergedMetrics
from streams.supervisor.process_count import AUTO, automatic_count, process_count
from streams.supervisor.supervision import Supervision


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", help="folder of the bundle (default: the setting `bundle`)")
    add_process_arguments(parser)
    # How a supervisor starts a process: the socket of the link, the number of the process, its id in the group
    parser.add_argument("--link", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--number", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--instance-id", help=argparse.SUPPRESS)


def add_process_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of every command that runs workers."""
    parser.add_argument("--log-level", default="WARNING", choices=["DEBUG", "INFO", "WARNING", "ERROR"])
    parser.add_argument(
        "--processes",
        type=process_count,
        default=1,
        metavar="N|auto",
        help="processes that share the partitions (default: 1); auto: one for each core, at most the partitions",
    )


def run(args: argparse.Namespace) -> int:
    settings = load_settings()
    settings = msgspec.structs.replace(settings, bundle=settings.bundle_folder(args.bundle))
    if args.link is not None:
        return _run_child(settings, args)
    return run_workers(settings, args.log_level, args.processes)


def run_workers(settings: Settings, log_level: str, processes: int) -> int:
    """Run workers of the bundle `settings.bundle` until a signal, and return the exit code. Raises ThalwegError.

    processes: their number, or `AUTO`.
    """
    count = automatic_count(settings) if processes == AUTO else processes
    if count > 1:
        # A link may name another bundle by the time at which a process is started again.
        if settings.bundle is not None:
            settings = msgspec.structs.replace(settings, bundle=os.path.realpath(settings.bundle))
        return asyncio.run(_supervise(settings, log_level, count))
    from streams.worker.command import run as run_worker

    return run_worker(settings, log_level, _print_address, instance_id=settings.group_instance_id)


def _run_child(settings: Settings, args: argparse.Namespace) -> int:
    link = Link(args.link)
    link.watch()
    from streams.worker.command import run as run_worker  # takes a second, in which the supervisor may end

    settings = msgspec.structs.replace(settings, http_host="127.0.0.1", http_port=0)

    def announce(address: str, group: str) -> None:
        link.report(Report(address=address, group=group))

    try:
        return run_worker(settings, args.log_level, announce, f"process {args.number} ", args.instance_id)
    except ThalwegError as error:
        link.report_failure(error)
        return 1


async def _supervise(settings: Settings, log_level: str, processes: int) -> int:
    members = instance_ids(processes, settings.group_instance_id)
    common = ("worker", "--bundle", str(settings.bundle), "--log-level", log_level)
    arguments = [
        (*common, "--number", str(number), "--instance-id", member) for number, member in enumerate(members, 1)
    ]
    metrics = MergedMetrics()
    supervision = Supervision(arguments, metrics)
    answers = Answers(supervision.addresses, metrics)
    server = HttpServer(
        settings.http_host,
        settings.http_port,
        {"/metrics": answers.metrics, "/healthz": answers.healthz, "/readyz": answers.readyz},
    )
    print(f"thalweg worker: {processes} processes, metrics at {await server.start()}/metrics", flush=True)
    _handle_signals(supervision)
    try:
        await supervision.run()
    finally:
        await server.stop()
        # A process that did not end in order may have waited for the broker, and nobody waits for the broker twice.
        is_expected_back = settings.group_instance_id is not None
        if supervision.is_orderly and supervision.group is not None and not is_expected_back:
            await asyncio.to_thread(leave, settings, supervision.group, members)
    return 0 if supervision.is_orderly else 1


def _handle_signals(supervision: Supervision) -> None:
    """A signal that the caller of the process lets be ignored stays ignored."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, supervision.ask_to_stop)
    loop.add_signal_handler(signal.SIGUSR1, supervision.forward, signal.SIGUSR1)


def _print_address(address: str, _: str) -> None:
    print(f"thalweg worker: metrics at {address}/metrics", flush=True)
