"""The result of a verification."""

import msgspec

MAX_SHOWN = 20


class Verification(msgspec.Struct, kw_only=True):
    """Counts of a verification, and the differences that it found."""

    users: int = 0
    events: int = 0  # events that were applied
    already_applied: int = 0
    dead_letters: int = 0  # records that the codec or a worker rejected
    skipped: int = 0  # records that are no events by the mapping
    erasures: int = 0
    expired: int = 0  # histories that ended because their users stayed away longer than `user_ttl_days`
    expired_rows: int = 0  # users who stay away for longer, and have no row any more
    max_abs_diff: float = 0.0  # largest difference between a stored and a recomputed component
    not_committed: int = 0  # records that the consumer group has not committed yet
    unverifiable: int = 0  # users whose first events are no longer in the topic or the archive
    mappings: list[str] = []  # the mappings by which workers made the rows, where they were several
    earlier_topics: int = 0  # how often the topic was deleted and made again
    is_topic_complete: bool = True  # all records since the beginning were read, and there was no earlier topic
    gaps: list[str] = []  # partitions in which the archive ends before the topic's first record
    repaired: int = 0  # rows that were written because of `--repair`
    mismatches: list[str] = []  # descriptions of the first MAX_SHOWN differences
    mismatched: int = 0

    @property
    def clean(self) -> bool:
        """True when no user differs."""
        return self.mismatched == 0

    def add_mismatch(self, text: str) -> None:
        """Count a difference, and keep its description if there are fewer than MAX_SHOWN."""
        self.mismatched += 1
        if len(self.mismatches) < MAX_SHOWN:
            self.mismatches.append(text)
