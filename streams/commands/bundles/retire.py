"""`thalweg retire`: deletes everything that a bundle keeps, after showing what will go."""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from encoder.wording import counted
from streams.commands.bundles.command import bytes_text, rows_text
from streams.commands.bundles.kafka_deletion import delete_group, delete_topic, forget_updates, has_other_keys
from streams.commands.bundles.standing import Bundles, named_bundle, open_bundles
from streams.config.errors import InputError, SettingsError, ThalwegError
from streams.config.loading import load_settings
from streams.config.settings import setting_label
from streams.health.rights.check import check_broker_rights
from streams.store.bundle_record import BundleRecord
from streams.store.bundles.deletion import BundleDeletion, most_partitions
from streams.store.bundles.sizes import NOTHING, Size, sizes

TELL_EVERY_S = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", metavar="BUNDLE", help="id or folder of the bundle whose data goes")
    parser.add_argument("--yes", action="store_true", help="delete without asking")


def run(args: argparse.Namespace) -> int:
    """Retire the bundle. Returns 1 where nobody has confirmed the deletion."""
    with open_bundles(load_settings()) as bundles:
        retirement = Retirement(bundles, named_bundle(args.bundle))
        retirement.check()
        for line in retirement.lines():
            print(f"  {line}", flush=True)
        if not args.yes and not _is_confirmed(retirement.record.bundle_id):
            print("retire: nothing is deleted: give --yes, or type the id of the bundle on a terminal")
            return 1
        for line in retirement.carry_out():
            print(f"  {line}", flush=True)
    print(f"retire: {retirement.record.bundle_id} is retired; a last row in `thalweg bundles` remembers the bundle")
    return 0


def _is_confirmed(bundle_id: str) -> bool:
    return sys.stdin.isatty() and input(f"type {bundle_id} to delete all of this: ").strip() == bundle_id


class Updates(NamedTuple):
    """The updates of a bundle. is_shared: the topic has updates of another bundle, and therefore stays.

    The other bundle may be one of another keyspace.
    """

    topic: str
    is_shared: bool


class Retirement:
    """The deletion of one bundle. Every step may be repeated, so a command that was killed is run again."""

    def __init__(self, bundles: Bundles, bundle_id: str) -> None:
        """Raises InputError for an unknown bundle, and SettingsError where the settings name another topic of updates
        than the bundle's. Raises BrokerError, StoreError.
        """
        self._bundles = bundles
        self.record: BundleRecord = bundles.record(bundle_id)
        partitions, self._last_epoch = most_partitions(bundles.registry, bundles.settings.behavior_topic)
        self._stored = BundleDeletion(bundles.session, bundles.settings.keyspace, self.record, partitions)
        self._group = bundles.group(bundle_id)
        self._updates = self._find_updates()
        found = sizes(bundles.session, bundles.settings.keyspace, self.record.width)
        self._size: Size = found.get(bundle_id, NOTHING)

    def check(self) -> None:
        """Raises InputError for the active bundle and for one with running workers, RightsError, BrokerError."""
        bundle_id = self.record.bundle_id
        active = self._bundles.aliases.active()
        if active is not None and active.bundle_id == bundle_id:
            raise InputError(f"{bundle_id} is the active bundle: promote another bundle, or roll back, before")
        workers = self._bundles.workers(bundle_id)
        if workers:
            running = counted(workers, f"worker of {bundle_id} runs", f"workers of {bundle_id} run")
            raise InputError(f"{running}: stop all workers of the bundle first, because they would write new rows")
        settings = self._bundles.registry.settings_of(self._bundles.settings, bundle_id)
        check_broker_rights(settings, "retire", bundle_id)

    def lines(self) -> Iterator[str]:
        """What will go, and what stays."""
        active, record = self._bundles.aliases.active(), self.record
        keyspace, settings = self._bundles.settings.keyspace, self._bundles.settings
        rows = rows_text(self._size.rows, self._size.error_rows)
        yield f"rows: {rows} of {keyspace}.representations_{record.width}"
        yield f"their values: {bytes_text(self._size.value_bytes)} on one replica, before compression"
        yield f"item vectors: {self._stored.item_vectors():,} of item_vectors_{record.width}"
        yield f"pending erasures: {self._stored.pending_erasures():,}"
        if self._updates.is_shared:
            topic = self._updates.topic
            yield f"updates: a null value for each key of the bundle in {topic}, which has updates of other bundles"
        else:
            yield f"updates: the topic {self._updates.topic}"
        yield f"commits: the consumer group {self._group}"
        yield (
            f"what stays: records in {settings.dead_letter_topic}, {settings.evaluation_topic}, "
            f"{settings.metrics_topic} and {settings.comparisons_topic}, which bundles share"
        )
        if active is not None and active.before == record.bundle_id:
            yield f"after this, `thalweg rollback` has no bundle to go back to from {active.bundle_id}"

    def carry_out(self) -> Iterator[str]:
        """Delete step by step. Yields what each step did. Raises StoreError, BrokerError."""
        has_begun = self._stored.begin()
        try:
            self.check()  # A worker that started before the mark is a member of the group by now, or refuses to start.
        except ThalwegError:
            if has_begun:  # The mark is this command's, which has deleted nothing yet.
                self._stored.give_up()
            raise
        self._bundles.aliases.drop_challenger(self.record.bundle_id)
        yield f"rows: {self._delete_rows():,} deleted"
        yield f"item vectors: {self._stored.delete_item_vectors(_teller('item vectors')):,} deleted"
        yield from self._delete_the_rest()
        # A backfill writes until its next look at the mark.
        while late := self._delete_rows():
            yield f"rows: {late:,} deleted, which were written meanwhile"
            yield from self._delete_the_rest()
        self._stored.end()

    def _delete_rows(self) -> int:
        return self._stored.delete_rows(self._last_epoch, self._size.rows, _teller("rows"))

    def _delete_the_rest(self) -> Iterator[str]:
        """Delete what workers and a backfill write besides the rows."""
        bundle_id, settings, topic = self.record.bundle_id, self._bundles.settings, self._updates.topic
        self._stored.delete_rest()
        if self._updates.is_shared:
            count = forget_updates(settings, topic, bundle_id, _teller("null values"))
            yield f"updates: {count:,} null values written to {topic}"
        else:
            yield f"updates: topic {topic} {'deleted' if delete_topic(settings, topic) else 'was gone'}"
        yield f"commits: group {self._group} {'deleted' if delete_group(settings, self._group) else 'was gone'}"

    def _find_updates(self) -> Updates:
        registry, settings = self._bundles.registry, self._bundles.settings
        bundle_id, known = self.record.bundle_id, registry.records()
        topic = registry.settings_of(settings, bundle_id).updates_topic
        if self.record.updates_topic not in (None, topic):
            raise SettingsError(
                f"the workers of {bundle_id} publish to the topic {self.record.updates_topic}, and by the settings of "
                f"this command they would publish to {topic}: give this command the setting "
                f"{setting_label('updates_topic')} of the workers"
            )
        live = [one for one in known.values() if one.bundle_id != bundle_id and one.retired_at is None]
        is_shared = any((one.updates_topic or settings.updates_topic) == topic for one in live)
        return Updates(topic, is_shared or has_other_keys(settings, topic, known))


def _teller(what: str) -> Callable[[int], None]:
    """Prints a number now and then while a long step goes on."""
    told_s = time.monotonic()

    def tell(count: int) -> None:
        nonlocal told_s
        if time.monotonic() - told_s >= TELL_EVERY_S:
            told_s = time.monotonic()
            print(f"  {what}: {count:,} so far", flush=True)

    return tell
