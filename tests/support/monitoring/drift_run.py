"""One run of the simulated shop through the worker's processor and the monitor's scoreboards, with its alarms."""

from collections.abc import Sequence
from typing import NamedTuple

from streams.contracts.alarm_events import AlarmEvent
from streams.monitor.drift.blocks import BLOCK_EVENTS
from streams.monitor.drift.level import LEARN_BLOCKS
from streams.monitor.drift.watch import WARM_UP_BLOCKS
from streams.monitor.scoring.bundle_scoreboards import BundleScoreboards
from tests.support.monitoring.simulated_stream import EVENTS, Record, Stream, scored, simulated_stream

ALARM_OF = {"sale": "item_mix", "shuffled ids": "quality_drop", "stopped action": "action_mix"}
# The events within which an alarm is promised: docs/monitoring.md#delay-and-false-alarms
STATED_DELAY = {"sale": 6_000, "shuffled ids": 4_000, "stopped action": 4_000}
UNTIL = {"none": 0.55, "sale": 0.65, "shuffled ids": 0.56, "stopped action": 0.58}  # share of the shop's time
HOUR_MS = 3_600_000


class DriftRun(NamedTuple):
    """What the monitor said about one run.

    watched_h: hours from the end of the learning to the drift, or to the end. false_alarms: those of these hours.
    delay_events: events from the begin of the drift to its alarm; None without the alarm.
    """

    seed: int
    drift: str
    watched_h: float
    watched_events: int
    false_alarms: list[AlarmEvent]
    delay_events: int | None
    delay_h: float | None
    found: list[AlarmEvent]  # all alarms of the drift, with their ends

    @property
    def is_in_time(self) -> bool:
        return self.delay_events is not None and self.delay_events <= STATED_DELAY[self.drift]


def drift_run(seed: int, drift: str, events: int = EVENTS) -> DriftRun:
    """events: the number of events of the shop's three days."""
    return judged(seed, drift, *evaluated(simulated_stream(seed, drift, UNTIL[drift], events)))


def evaluated(stream: Stream) -> tuple[Stream, list[Record], list[AlarmEvent]]:
    """The evaluation records of a stream, and the alarm events that the monitor makes of them."""
    boards = BundleScoreboards(window_ms=600_000, rolling_events=5_000)  # few intervals of this slow stream
    records: list[Record] = []
    for evaluations, _ in scored(stream.records):
        boards.observe(evaluations)
        records += evaluations
    return stream, records, boards.take_alarms()


def judged(seed: int, drift: str, stream: Stream, records: Sequence[Record], alarms: list[AlarmEvent]) -> DriftRun:
    """Compare the alarms with the time of the drift."""
    learned = (WARM_UP_BLOCKS + LEARN_BLOCKS) * BLOCK_EVENTS  # events of users with history, about as many as events
    end_ms = records[-1].timestamp if stream.drift_ms is None else stream.drift_ms
    begin_ms = records[learned].timestamp
    before = [alarm for alarm in alarms if alarm.starts_at_ms < end_ms]
    after = [alarm for alarm in alarms if alarm.starts_at_ms >= end_ms]
    name = ALARM_OF.get(drift)
    slices = {"stopped action": f"action={stream.stopped_action}"}
    expected_slice = slices.get(drift, "all")
    first = next((alarm for alarm in after if alarm.name == name and alarm.slice == expected_slice), None)
    in_delay = None if first is None else [r for r in records if end_ms <= r.timestamp <= first.starts_at_ms]
    return DriftRun(
        seed=seed,
        drift=drift,
        watched_h=(end_ms - begin_ms) / HOUR_MS,
        watched_events=sum(begin_ms <= record.timestamp < end_ms for record in records),
        false_alarms=[alarm for alarm in before if alarm.state == "firing"],
        delay_events=None if in_delay is None else len(in_delay),
        delay_h=None if first is None else (first.starts_at_ms - end_ms) / HOUR_MS,
        found=after,
    )
