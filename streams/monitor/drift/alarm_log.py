"""Which alarms the topic of alarms knows, so that no alarm is told twice. Pure: no I/O, no clock."""

import msgspec

from streams.contracts.alarm_events import AlarmEvent, alarm_id

Place = tuple[str, str, str]  # bundle id, name, slice

UNUSED = "The monitor knows no events of this bundle, or none of the last day."
FORGOTTEN = "The monitor has no memory of this alarm and has learned the reference of the figure anew."


class AlarmLog:
    """The last alarm event of each figure.

    A monitor that reads events again finds the same alarms again, perhaps a block earlier or later. An alarm event is
    therefore new only if the event changes the state of its figure and is later than the figure's last event.
    """

    def __init__(self) -> None:
        self._last: dict[Place, AlarmEvent] = {}

    def note(self, alarm: AlarmEvent) -> None:
        """Take an event that is in the topic, in the topic's order."""
        self._last[_place(alarm)] = alarm

    def new(self, alarm: AlarmEvent) -> AlarmEvent | None:
        """The event to publish for an alarm that began or ended; None where the topic knows that already."""
        last = self._last.get(_place(alarm))
        if alarm.state == "firing":
            is_new = last is None or (last.state == "resolved" and alarm.starts_at_ms > (last.ends_at_ms or 0))
            return alarm if is_new else None
        if last is None or last.state == "resolved" or (alarm.ends_at_ms or 0) <= last.starts_at_ms:
            return None
        return _with_start(alarm, last.starts_at_ms)

    def firing(self) -> list[AlarmEvent]:
        """The alarms that fire."""
        return [alarm for alarm in self._last.values() if alarm.state == "firing"]

    def resolved_since(self, time_ms: int) -> list[AlarmEvent]:
        """The alarms that ended at `time_ms` or later, as far as no newer alarm of the same figure fires."""
        return [alarm for alarm in self._last.values() if (alarm.ends_at_ms or 0) >= time_ms]

    def forgotten(self, states: dict[str, dict[str, bool]], time_ms: int) -> list[AlarmEvent]:
        """Ends of alarms that fire in the topic and not in the figures of their bundles.

        A monitor that lost its state has learned new references, and a bundle without new events has no figures.
        states: bundle -> "name/slice" -> whether the alarm fires, of the figures that have a reference.
        """
        ended = []
        for alarm in self.firing():
            figures = states.get(alarm.bundle_id)
            if figures is None:
                ended.append(_resolved(alarm, time_ms, UNUSED))
            elif figures.get(f"{alarm.name}/{alarm.slice}") is False:
                ended.append(_resolved(alarm, time_ms, FORGOTTEN))
        return ended


def _place(alarm: AlarmEvent) -> Place:
    return alarm.bundle_id, alarm.name, alarm.slice


def _with_start(alarm: AlarmEvent, starts_at_ms: int) -> AlarmEvent:
    name = alarm_id(alarm.bundle_id, alarm.name, alarm.slice, starts_at_ms, alarm.state)
    return msgspec.structs.replace(alarm, id=name, starts_at_ms=starts_at_ms)


def _resolved(alarm: AlarmEvent, time_ms: int, detail: str) -> AlarmEvent:
    ended = msgspec.structs.replace(alarm, state="resolved", ends_at_ms=max(time_ms, alarm.starts_at_ms), detail=detail)
    return _with_start(ended, alarm.starts_at_ms)
