"""Records of the monitored topics into one scoreboard for each bundle. No I/O, no clock."""

from collections.abc import Callable, Collection
from typing import Any, Protocol

import msgspec

from streams.contracts.alarm_events import AlarmEvent
from streams.contracts.evaluation_events import EvaluationEvent
from streams.contracts.metrics_events import MetricsEvent
from streams.contracts.predictions import Prediction
from streams.contracts.representation_updates import RepresentationUpdate, read_json_update
from streams.monitor.pairs.all_pairs import AllPairs
from streams.monitor.scoring.scoreboard import OtherRank, Scoreboard
from streams.monitor.scoring.scores import Snapshot

GRACE_MS = 1_000  # an interval without a new event stays open this long, because records may still be on their way
UNUSED_MS = 86_400_000  # the board of a bundle whose last record is so much older than the latest one is dropped


class Frozen(Protocol):
    """The part of a FrozenComparison that the scoreboards call."""

    bundle_id: str

    def update(self, update: RepresentationUpdate) -> float: ...

    def forget(self, user_id: str) -> None: ...

    def ranks(self, event: EvaluationEvent) -> Collection[OtherRank]: ...


class BundleScoreboards:
    """Decodes records, scores each event on the board of the event's bundle, and counts undecodable records."""

    def __init__(self, window_ms: int, rolling_events: int) -> None:
        self._window_ms = window_ms
        self._rolling_events = rolling_events
        self._boards: dict[str, Scoreboard] = {}  # by bundle id; the bundle of the latest event is last
        self.pairs = AllPairs()
        self._records = 0
        self._read = 0  # records of all topics
        self._undecodable = 0
        self._problem: str | None = None
        # (updates topic, partition) -> next offset that is new to the state. Each bundle may have a topic of its own.
        self._measured: dict[tuple[str, int], int] = {}

    def observe(self, records: Collection[Any], frozen: Frozen | None = None) -> list[MetricsEvent]:
        """Score evaluation records, each with a `value` and a `timestamp` in ms.

        frozen: ranks the items of the events of its bundle. Returns the metrics of intervals that ended.
        """
        ended = []
        board = None
        latest_ms = 0
        for record in records:
            try:
                event = _EVALUATION(record.value)
                board = self._board(event.bundle_id)
                is_compared = frozen is not None and frozen.bundle_id == event.bundle_id
                metrics = board.observe(event, record.timestamp, frozen.ranks(event) if frozen and is_compared else ())
                if board.slices is not None:
                    self.pairs.observe(event, record.timestamp, board.slices)
            except (msgspec.MsgspecError, ValueError, TypeError) as error:
                self._count_undecodable(record, error, "an evaluation event")
                continue
            latest_ms = board.last_ms = max(latest_ms, board.last_ms, record.timestamp)
            if metrics is not None:
                ended.append(metrics)
        self._records += len(records)
        self._read += len(records)
        if board is not None:
            self._boards[board.bundle_id] = self._boards.pop(board.bundle_id)
            ended += self.advance(latest_ms - GRACE_MS)
            self._drop_unused(latest_ms - UNUSED_MS)
        return ended

    def predict(self, record: Any) -> None:
        """Take a record of the topic of predictions. The prediction is scored under every bundle seen so far."""
        self._read += 1
        try:
            prediction = _PREDICTION(record.value)
        except (msgspec.MsgspecError, TypeError) as error:
            self._count_undecodable(record, error, "a prediction")
            return
        for board in self._boards.values():
            board.predict(prediction)

    def update(
        self, record: Any, frozen: Frozen, decode: Callable[[bytes], RepresentationUpdate] = read_json_update
    ) -> None:
        """Take a record of the updates topic. decode: reads its value, and raises ValueError.

        A restarted monitor reads the topic again. The length of a representation is watched once, and a user is erased
        once from the predictions, because the user may have come back since.
        """
        self._read += 1
        is_new = record.offset >= self._measured.get((record.topic, record.partition), 0)
        if record.value is None:
            self._forget(record, frozen, is_new)
            return
        try:
            update = decode(record.value)
            if update.bundle_id != frozen.bundle_id:
                return
            norm = frozen.update(update)
        except ValueError as error:
            self._count_undecodable(record, error, "an update")
            return
        if is_new:
            self._measured[record.topic, record.partition] = record.offset + 1
            board = self._board(update.bundle_id)
            board.last_ms = max(board.last_ms, record.timestamp)
            board.observe_norm(norm, record.timestamp)

    def advance(self, time_ms: int) -> list[MetricsEvent]:
        """Metrics of the intervals that end by `time_ms` without another event."""
        return [metrics for board in self._boards.values() if (metrics := board.advance(time_ms)) is not None]

    def take_alarms(self) -> list[AlarmEvent]:
        """The alarms that began or ended since the last call, in order of time for each bundle."""
        taken = [alarm for board in self._boards.values() for alarm in board.alarms]
        for board in self._boards.values():
            board.alarms = []
        return taken

    def alarm_states(self) -> dict[str, dict[str, bool]]:
        """Bundle -> "name/slice" of each figure that has a reference -> whether its alarm fires."""
        return {bundle_id: board.alarm_states() for bundle_id, board in self._boards.items()}

    def snapshot(self, lag: int = 0, idle_s: float = 0.0, expired: int = 0, now_ms: int = 0) -> Snapshot:
        """All counts and scores.

        The caller knows how many records are left to read, how long none came, how many expired before they were read,
        and the time.
        """
        return Snapshot(
            records=self._records,
            read=self._read,
            undecodable=self._undecodable,
            problem=self._problem,
            lag=lag,
            expired=expired,
            idle_s=idle_s,
            bundles={bundle_id: board.scores() for bundle_id, board in self._boards.items()},
            comparisons=self.pairs.reports(now_ms),
        )

    def _board(self, bundle_id: str) -> Scoreboard:
        board = self._boards.get(bundle_id)
        if board is None:
            board = self._boards[bundle_id] = Scoreboard(bundle_id, self._window_ms, self._rolling_events)
        return board

    def _forget(self, record: Any, frozen: Frozen, is_new: bool) -> None:
        bundle_id, _, user_id = (record.key or b"").decode("utf-8", "replace").partition("/")
        if bundle_id == frozen.bundle_id:
            frozen.forget(user_id)
        if is_new:
            self._measured[record.topic, record.partition] = record.offset + 1
            if bundle_id in self._boards:
                self._boards[bundle_id].forget(user_id)
                self.pairs.forget(bundle_id, user_id)

    def _drop_unused(self, time_ms: int) -> None:
        """Drop the boards whose last record is older than `time_ms`, except for alarms that nobody has taken yet."""
        for bundle_id, board in list(self._boards.items()):
            if board.last_ms < time_ms and not board.alarms:
                del self._boards[bundle_id]
                self.pairs.drop(bundle_id)

    def _count_undecodable(self, record: Any, error: Exception, kind: str) -> None:
        self._undecodable += 1
        position = f"{record.topic}-{record.partition}-{record.offset}"
        self._problem = self._problem or f"{position} is not {kind}: {error}"


_EVALUATION = msgspec.json.Decoder(EvaluationEvent).decode
_PREDICTION = msgspec.json.Decoder(Prediction).decode
