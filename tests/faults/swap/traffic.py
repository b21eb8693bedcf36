"""Events that never end, in an order that can be recomputed."""

import threading
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec

from encoder.data.events import BehaviorEvent
from streams.commands.replay.producer import Replay
from streams.config.settings import Settings

decode = msgspec.json.Decoder(BehaviorEvent).decode
encode = msgspec.json.Encoder().encode
TURNS = 200


class Traffic:
    """Sends the events of a log, and begins the log anew at its end, with later times and other event ids.

    All times lie so far in the past that the log can begin anew TURNS times before an event is ahead of the clock.
    Workers reject an event whose time is more than a day ahead.

    watched: the users whose events are kept in `events_of`, in the order in which they were sent.
    """

    def __init__(self, settings: Settings, log: Path, watched: Collection[str]) -> None:
        self.events_of: dict[str, list[BehaviorEvent]] = defaultdict(list)
        self.sent = 0
        self._settings = settings
        self._events = [decode(line) for line in log.read_bytes().splitlines()]
        self._watched = frozenset(watched)
        self._records = self._endless()
        self._replay: Replay | None = None
        self._thread: threading.Thread | None = None

    def send(self, count: int) -> None:
        """Send so many events at full speed, and wait until Kafka has confirmed them."""
        self._send(Replay(self._settings, self._settings.behavior_topic), count)

    def start(self, rate: float) -> None:
        """Send at this rate, in events per second, until `stop`."""
        self._replay = Replay(self._settings, self._settings.behavior_topic, rate)
        self._thread = threading.Thread(target=self._send, args=(self._replay, None), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Return when all events that were taken are confirmed."""
        if self._replay is not None and self._thread is not None:
            self._replay.stop()
            self._thread.join()

    def _send(self, replay: Replay, count: int | None) -> None:
        replay.run(self._take(count))
        self.sent += replay.sent

    def _take(self, count: int | None) -> Iterator[tuple[bytes, bytes]]:
        taken = 0
        while count is None or taken < count:
            yield next(self._records)
            taken += 1

    def _endless(self) -> Iterator[tuple[bytes, bytes]]:
        first, last = self._events[0].event_time_ms, self._events[-1].event_time_ms
        for turn in range(TURNS):
            shift_ms = (turn + 1 - TURNS) * (last - first + 1)
            for event in self._events:
                event = msgspec.structs.replace(
                    event, event_id=f"{event.event_id}.{turn}", event_time_ms=event.event_time_ms + shift_ms
                )
                if event.user_id in self._watched:
                    self.events_of[event.user_id].append(event)
                yield event.user_id.encode(), encode(event)
        raise ValueError(f"the log was sent {TURNS} times: simulate more events, or send at a lower rate")
