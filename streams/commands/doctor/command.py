"""`thalweg doctor`: the settings, then every check, with a remedy for each problem."""

import argparse
import logging
from collections.abc import Callable, Generator, Iterator
from functools import partial

from rich.console import Console
from rich.text import Text

from export.runtime.bundle import Bundle
from streams.commands.doctor.broker_checks import check_broker
from streams.commands.doctor.bundle_checks import bundle_finding, check_runtime
from streams.commands.doctor.cassandra_checks import check_cassandra
from streams.commands.doctor.failures import AGAIN, finding_of, is_away
from streams.commands.doctor.finding import Finding
from streams.commands.doctor.installation_checks import check_codecs, check_packages, python_finding
from streams.commands.doctor.machine_checks import check_http_port, check_local_services
from streams.commands.doctor.noise_checks import check_noise
from streams.commands.doctor.registry_checks import check_registry
from streams.commands.doctor.rights_checks import check_cassandra_rights, check_kafka_rights
from streams.config.errors import ThalwegError
from streams.config.loading import load_settings
from streams.config.settings import PREFIX, Settings

STYLES = {"ok": "green", "note": "yellow", "failed": "bold red"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", help="folder of the bundle (default: the setting `bundle`)")
    parser.add_argument(
        "--migrate", action="store_true", help="first apply the migrations that the keyspace lacks; workers may run"
    )


def run(args: argparse.Namespace) -> int:
    """Print every finding. Returns 1 when a check failed."""
    console = Console(highlight=False)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # The findings say what the client would log of brokers.
    settings = load_settings()
    for name in Settings.__struct_fields__:
        console.print(f"  {PREFIX}{name.upper()} = {getattr(settings, name)!r}", markup=False, soft_wrap=True)
    failed = 0
    for finding in examine(settings, args.bundle, args.migrate):
        failed += finding.state == "failed"
        _print_finding(console, finding)
    console.print(f"{failed} failed" if failed else "everything that a worker needs is there")
    return 1 if failed else 0


def examine(settings: Settings, bundle_argument: str | None, is_migrating: bool = False) -> Iterator[Finding]:
    """Run every check, one after the other. A ThalwegError of a check becomes a finding."""
    yield python_finding()
    yield from check_packages()
    yield from check_codecs()
    bundle: Bundle | None = None
    try:
        bundle = Bundle.load(settings.bundle_folder(bundle_argument))
    except ThalwegError as error:
        yield Finding("failed", "bundle", str(error))
    else:
        yield bundle_finding(bundle)
        yield from _errors_as_findings("updates noise", partial(check_noise, settings, bundle))
    yield from _errors_as_findings("onnxruntime", lambda: check_runtime(bundle))
    yield check_http_port(settings)
    yield from check_local_services()
    yield from _errors_as_findings("registry", lambda: check_registry(settings))
    lacks_kafka = yield from _errors_as_findings("broker", lambda: check_broker(settings, bundle))
    lacks_cassandra = yield from _errors_as_findings(
        "cassandra", lambda: check_cassandra(settings, bundle, is_migrating)
    )
    if bundle is not None:
        yield from _rights("Kafka", lacks_kafka, partial(check_kafka_rights, settings, bundle))
        yield from _rights("Cassandra", lacks_cassandra, partial(check_cassandra_rights, settings, bundle))


def _rights(service: str, is_lacking: bool, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """is_lacking: the service was away before."""
    if is_lacking:
        detail = f"a worker's rights in {service} are not checked, because {service} is away or lacks nodes"
        yield Finding("note", "rights", detail, f"start what is away, {AGAIN}")
    else:
        yield from _errors_as_findings("rights", check)


def _errors_as_findings(subject: str, check: Callable[[], Iterator[Finding]]) -> Generator[Finding, None, bool]:
    """Yield what the check finds, and an error as a failure. Returns True where a service is away."""
    try:
        yield from check()
    except ThalwegError as error:
        yield finding_of(subject, error)
        return is_away(error)
    return False


def _print_finding(console: Console, finding: Finding) -> None:
    line = Text.assemble((f"{finding.state:<7}", STYLES[finding.state]), f"{finding.subject:<13} {finding.detail}")
    console.print(line, soft_wrap=True)
    if finding.remedy:
        console.print(Text(f"{'':<21}-> {finding.remedy}"), soft_wrap=True)
