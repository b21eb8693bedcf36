"""What a backfill has done so far."""

import msgspec

COUNTS_OF_RECORDS = ("events", "already_applied", "rejected", "skipped", "erasures", "dead_letters")


class Progress(msgspec.Struct, kw_only=True):
    """Counts of a backfill."""

    events: int = 0  # applied events
    already_applied: int = 0  # records
    rejected: int = 0  # records that the decoder of the archive rejected; a worker sent their dead letters
    skipped: int = 0  # records that are no events by the mapping
    erasures: int = 0
    dead_letters: int = 0  # records in a partition that their user does not belong to
    rows: int = 0  # rows written; a user whose row was written twice counts twice
    commits: int = 0
    gaps: list[str] = []  # partitions whose first records the archive lacks, or has before a gap
    elapsed_s: float = 0.0
    events_per_s: float = 0.0
    peak_mb: float = 0.0  # most resident memory of this process

    def add(self, other: "Progress") -> None:
        """Add the counts of records that another part of the history has."""
        for name in COUNTS_OF_RECORDS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
