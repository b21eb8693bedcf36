"""Rows that tell of bundles: the record of a bundle, whether the bundle may be served, and the uses of mappings."""

from datetime import UTC, datetime

import msgspec

from streams.config.errors import SettingsError


class BundleRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table `bundles`. Times are texts as of Cassandra's JSON, such as 2026-11-29 08:00:00.000Z.

    updates_topic: None where only an earlier version has served the bundle. backfilled_partitions: of the behaviour
    topic, whose history began with a backfill; None for none. backfilled_at: when a backfill had applied its archive.
    log_id: of the log with which the archive began; None for a history of the topic alone.
    """

    bundle_id: str
    width: int
    items: int
    first_served_at: str
    updates_topic: str | None = None
    backfilled_partitions: tuple[int, ...] | None = None
    backfilled_at: str | None = None
    log_id: str | None = None
    retirement_began_at: str | None = None
    retired_at: str | None = None

    @property
    def age_s(self) -> float:
        """The time since a worker first served the bundle."""
        return (datetime.now(UTC) - datetime.fromisoformat(self.first_served_at)).total_seconds()


def check_not_retired(record: BundleRecord | None, keyspace: str) -> None:
    """Raises SettingsError for a bundle whose rows were deleted.

    A bundle that begins anew writes its rows with the timestamps of the positions from before, and the deletion of the
    earlier rows would hide the new rows.
    """
    if record is not None and record.retirement_began_at is not None:
        raise SettingsError(
            f"bundle {record.bundle_id} was retired from keyspace {keyspace} at {record.retirement_began_at}, and its "
            "deleted rows would hide new rows: serve the bundle with another keyspace (THALWEG_KEYSPACE), another "
            "group (THALWEG_GROUP) and output topics of its own, see docs/operating.md, or export the model again with "
            "other options, which gives another bundle id"
        )


class MappingUse(msgspec.Struct, frozen=True):
    """A row of the table `mappings`. Times are as in `BundleRecord`."""

    name: str
    first_used_at: str
    last_used_at: str | None = None

    @property
    def at(self) -> datetime:
        """The last start that was entered."""
        return datetime.fromisoformat(self.last_used_at or self.first_used_at)
