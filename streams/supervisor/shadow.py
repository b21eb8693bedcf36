"""`thalweg shadow`: runs workers of a new bundle beside those of the active one, for a trial.

The workers are those of `thalweg worker`. The bundle has a consumer group, rows and an updates topic of its own, so
nothing that the active bundle writes or that readers read changes.
"""

import argparse
from pathlib import Path

import msgspec

from encoder.wording import counted
from export.runtime.bundle import Bundle
from streams.archive.opening import open_reader
from streams.broker.topics import describe_topic
from streams.commands.backfill.plan import check_beginning, covered_by
from streams.config.cores import usable_cores
from streams.config.errors import InputError
from streams.config.loading import load_settings
from streams.config.settings import Settings
from streams.store.bundle_record import check_not_retired
from streams.store.bundles.aliases import Aliases
from streams.store.registry import Registry
from streams.store.session import Session
from streams.supervisor.command import add_process_arguments, run_workers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", metavar="NEW", help="folder of the new bundle")
    parser.add_argument(
        "--from",
        dest="archive",
        metavar="ARCHIVE",
        help="apply the events of this archive first, and read the topic behind them",
    )
    parser.add_argument("--replace", action="store_true", help="make NEW the challenger in place of another bundle")
    add_process_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run the workers until SIGTERM or Ctrl-C. A second start goes on where the first one stopped."""
    settings = load_settings()
    bundle = Bundle.load(Path(args.bundle))
    settings = msgspec.structs.replace(settings, bundle=str(bundle.path.absolute()))
    challenge(settings, bundle.bundle_id, args.replace)
    if args.archive is not None:
        backfill(settings, bundle, args.archive)
    return run_workers(settings, args.log_level, args.processes)


def challenge(settings: Settings, bundle_id: str, replaces: bool) -> None:
    """Make the bundle the challenger of the active one. A second call changes nothing. Blocks.

    Does not change the active bundle, which a supervisor may start again after the promotion.

    Raises InputError where the keyspace has no active bundle, and where another bundle is the challenger and `replaces`
    is false. Raises SettingsError for a retired bundle, and StoreError.
    """
    session = Session(settings)
    try:
        aliases, registry = Aliases(session, settings.keyspace), Registry(session, settings.keyspace)
        registry.check_history()
        active, challenger = aliases.active(), aliases.challenger()
        if active is None:
            raise InputError(
                f"keyspace {settings.keyspace} has no active bundle, so {bundle_id} has nothing to run beside: start "
                "`thalweg worker` with the first bundle"
            )
        if active.bundle_id == bundle_id:
            print(f"shadow: {bundle_id} is the active bundle, and its workers run here", flush=True)
            return
        known = registry.records()
        check_not_retired(known.get(bundle_id), settings.keyspace)
        if challenger not in (None, bundle_id, active.bundle_id) and not replaces:
            if challenger not in known:  # Its first start has failed, or goes on at this moment.
                raise InputError(
                    f"{challenger} is the challenger already, and no worker has served it yet: give --replace, unless "
                    "its `thalweg shadow` starts at this moment"
                )
            raise InputError(
                f"{challenger} is the challenger already: stop its workers and run `thalweg retire {challenger}`, or "
                "give --replace, which leaves its rows as they are"
            )
        if challenger != bundle_id:
            aliases.set_challenger(bundle_id, challenger)
        topic = registry.settings_of(settings, bundle_id).updates_topic
    finally:
        session.close()
    print(f"shadow: {bundle_id} runs beside {active.bundle_id}, and publishes updates to {topic}", flush=True)


def backfill(settings: Settings, bundle: Bundle, archive: str) -> None:
    """Apply the events of an archive, as `thalweg backfill` does. A second call goes on where the first one stopped.

    Does nothing where the bundle has applied the whole archive. Raises ThalwegError, also where the group has read the
    topic without the archive, and the topic has lost its beginning.
    """
    reader, group_id = open_reader(archive), settings.consumer_group_id(bundle.bundle_id)
    topic = describe_topic(settings, settings.behavior_topic, group_id)
    session = Session(settings)
    try:
        backfilled = Registry(session, settings.keyspace).backfilled(bundle.bundle_id, topic.partitions)
    finally:
        session.close()
    check_beginning(topic, covered_by(reader), backfilled, archive, group_id)
    if all(topic.committed.get(partition, -1) >= (reader.end(partition) or 0) for partition in reader.partitions):
        print(f"shadow: the events of {archive} are applied already", flush=True)
        return
    from streams.commands.backfill.stages import backfill as apply  # loads pyarrow, which is an extra

    done = apply(settings, bundle, archive, usable_cores())
    for gap in done.gaps:
        print(f"shadow: {gap}", flush=True)
    print(f"shadow: {counted(done.events, 'event')} of {archive} applied in {done.elapsed_s:,.1f} s", flush=True)
