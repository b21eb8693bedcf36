"""What the demo shows, as types: the progress of the run, and the report at the end. Pure."""

from collections.abc import Sequence

import msgspec

from streams.monitor.scoring.scores import Scores


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """The running demo at one moment."""

    stage: str  # e.g. "streaming"
    elapsed_s: float  # since the start of the command
    total_records: int  # records that the replay will send
    sent: int
    applied: int
    already_applied: int
    dead_letters: int
    erased: int = 0
    events_per_s: float  # records with an outcome, over the time since the first outcome
    lag: int  # records in the behaviour topic that are not committed
    freshness_p50_ms: float | None = None  # from the event's production until the row can be read; None without rows
    freshness_p99_ms: float | None = None
    rolling: Scores | None = None  # over the last events; None before the first evaluation event
    catalogue_items: int = 0


class VerificationSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The result of `thalweg verify` on the demo's users."""

    users: int
    events: int
    max_abs_diff: float  # largest difference between a stored and a recomputed number
    tolerance: float


class UserRecommendations(msgspec.Struct, frozen=True, kw_only=True):
    """A user's last events, the latest first, and what the live representation recommends now."""

    user_id: str
    recent: Sequence[tuple[str, str]]  # (action, item name)
    recommended: Sequence[str]  # item names, best first


class DemoReport(msgspec.Struct, frozen=True, kw_only=True):
    """The demo's result."""

    progress: Progress
    online: Scores  # over all scored events
    verification: VerificationSummary
    users: Sequence[UserRecommendations]
