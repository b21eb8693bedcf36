"""Records of the evaluation topic into one scoreboard for each bundle. Pure: no I/O, no clock."""

from collections.abc import Collection
from typing import Any

import msgspec

from streams.contracts.evaluation_events import EvaluationEvent
from streams.contracts.metrics_events import MetricsEvent
from streams.monitor.scoring.scoreboard import Scoreboard
from streams.monitor.scoring.scores import Snapshot


class BundleScoreboards:
    """Decodes records, scores each event on the board of the event's bundle, and counts undecodable records."""

    def __init__(self, window_ms: int, rolling_events: int) -> None:
        self._window_ms = window_ms
        self._rolling_events = rolling_events
        self._decode = msgspec.json.Decoder(EvaluationEvent).decode
        self._boards: dict[str, Scoreboard] = {}  # by bundle id; the bundle of the latest event is last
        self._records = 0
        self._undecodable = 0
        self._problem: str | None = None

    def observe(self, records: Collection[Any]) -> list[MetricsEvent]:
        """Score records, each with a `value` and a `timestamp` in ms. Returns the metrics of intervals that ended."""
        ended = []
        decode, boards = self._decode, self._boards
        board = None
        for record in records:
            try:
                event = decode(record.value)
                board = boards.get(event.bundle_id)
                if board is None:
                    board = Scoreboard(event.bundle_id, self._window_ms, self._rolling_events)
                    boards[event.bundle_id] = board
                metrics = board.observe(event, record.timestamp)
            except (msgspec.MsgspecError, ValueError, TypeError) as error:
                self._undecodable += 1
                position = f"{record.topic}-{record.partition}-{record.offset}"
                self._problem = self._problem or f"{position} is not an evaluation event: {error}"
                continue
            if metrics is not None:
                ended.append(metrics)
        self._records += len(records)
        if board is not None:
            boards[board.bundle_id] = boards.pop(board.bundle_id)
        return ended

    def advance(self, time_ms: int) -> list[MetricsEvent]:
        """Metrics of the intervals that end by `time_ms` without another event."""
        return [metrics for board in self._boards.values() if (metrics := board.advance(time_ms)) is not None]

    def snapshot(self, lag: int = 0, idle_s: float = 0.0) -> Snapshot:
        """All counts and scores. The caller knows how many records are left to read and how long none came."""
        return Snapshot(
            records=self._records,
            undecodable=self._undecodable,
            problem=self._problem,
            lag=lag,
            idle_s=idle_s,
            bundles={bundle_id: board.scores() for bundle_id, board in self._boards.items()},
        )
