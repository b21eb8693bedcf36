"""`thalweg setup`: the arguments and the output."""

import argparse
from collections.abc import Iterator

from export.runtime.bundle import Bundle, Manifest
from streams.commands.setup.cassandra_setup import make_grants, make_schema
from streams.commands.setup.kafka_setup import make_acls, make_topics
from streams.commands.setup.plan import Plan, make_plan, needs_cassandra
from streams.commands.setup.registry_setup import make_update_schema
from streams.commands.setup.script import script
from streams.commands.setup.step import Step
from streams.config.errors import InputError
from streams.config.loading import load_settings
from streams.config.settings import Settings
from streams.health.rights.roles import ROLES
from streams.store.registry import Registry
from streams.store.session import Session


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--for",
        dest="programs",
        nargs="+",
        choices=ROLES,
        default=["worker"],
        metavar="PROGRAM",
        help=f"programs that get rights, of {', '.join(ROLES)} (default: worker)",
    )
    parser.add_argument("--source", metavar="TOPIC", help="topic that `thalweg rekey` reads (with --for rekey)")
    parser.add_argument("--bundle", metavar="DIR", help="bundle whose tables are made (default: the setting `bundle`)")
    parser.add_argument("--user", metavar="NAME", help="user of Kafka who gets the rights of the programs")
    parser.add_argument("--cassandra-role", metavar="NAME", help="role of Cassandra that gets the rights")
    parser.add_argument(
        "--print", action="store_true", help="print a shell script that makes everything, and connect to nothing"
    )


def run(args: argparse.Namespace) -> int:
    """Make everything, or print the script. Returns 1 where something exists with other settings than planned.

    Raises InputError, SettingsError, BrokerError and StoreError.
    """
    if ("rekey" in args.programs) != (args.source is not None):
        raise InputError("--for rekey and --source TOPIC belong together: name the topic that `thalweg rekey` reads")
    settings = load_settings()
    manifest = None
    if needs_cassandra(args.programs):
        manifest = Bundle.load(settings.bundle_folder(args.bundle)).manifest
    plan = make_plan(settings, args.programs, manifest, args.user, args.cassandra_role, args.source)
    if args.print:
        print(script(settings, plan), end="")
        return 0
    counts = {"made": 0, "exists": 0, "differs": 0, "skipped": 0}
    for step in make(settings, plan, manifest, args.source):
        counts[step.state] += 1
        print(f"{step.state:<8} {step.what}{f': {step.detail}' if step.detail else ''}", flush=True)
    print(f"setup: {', '.join(f'{count} {state}' for state, count in counts.items() if count)}")
    return 1 if counts["differs"] else 0


def make(settings: Settings, plan: Plan, manifest: Manifest | None, source: str | None = None) -> Iterator[Step]:
    """Make what is missing, one thing after the other. Raises BrokerError, RegistryError, StoreError, SettingsError.

    source: the topic that `thalweg rekey` reads.
    """
    if manifest is None:
        yield from make_topics(settings, source)
        yield from make_acls(settings, plan)
        yield from make_update_schema(settings, plan)
        return
    session = Session(settings)
    try:
        of_bundle = _of_bundle(settings, session, manifest)
        yield from make_topics(of_bundle, source)
        yield from make_acls(settings, plan)
        yield from make_update_schema(of_bundle, plan)
        yield from make_schema(settings, session, manifest)
        yield from make_grants(session, plan)
    finally:
        session.close()


def _of_bundle(settings: Settings, session: Session, manifest: Manifest) -> Settings:
    """The settings with the updates topic of the bundle. Raises StoreError."""
    registry = Registry(session, settings.keyspace)
    # Without the table, the bundle will be the first one.
    return registry.settings_of(settings, manifest.bundle_id) if registry.has_table("bundles") else settings
