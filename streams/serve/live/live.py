"""Reads the topics while somebody looks, and hands what is new to every open page."""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from typing import Any

import msgspec

from streams.broker.decoding.update_reader import UpdateReader
from streams.broker.topics import Topic, TopicWatch
from streams.config.errors import ThalwegError
from streams.config.settings import Settings
from streams.contracts.evaluation_events import EvaluationEvent
from streams.serve.http.problems import ProblemError, unavailable
from streams.serve.live.freshness import Freshness
from streams.serve.live.history import History, Status
from streams.serve.live.projection import project
from streams.serve.live.ring import Ring, framed
from streams.serve.live.seen_users import SeenUsers
from streams.serve.live.tail import follow_tail
from streams.serve.scoring.active_model import Model

logger = logging.getLogger(__name__)

MOST_PAGES = 32  # open streams
BEGINS_WITHIN_S = 10.0  # after the request; a client that went away before never begins
LINGER_S = 60.0  # after the last page was closed, so that a page that is loaded again goes on
STATUS_EVERY_S = 2.0
HEARTBEAT_S = 10.0
STREAM_LIMIT_S = 600.0  # then the page asks again, and its token is checked again
END_CHECK_S = 0.5
MAP_WITHIN_S, MAP_CHECK_S = 5.0, 0.05
STOP_S, TOPIC_RETRY_S = 3.0, 5.0
RING_MESSAGES = 500
LAST_METRICS, LAST_ALARMS, LAST_LETTERS, LAST_EVENTS, LAST_UPDATES = 1_000, 200, 2_000, 1_000, 1_000
HEARTBEAT = b": the server is there\n\n"


class Live:
    """The stream of the page. All methods belong to the event loop of the server."""

    seen: SeenUsers | None  # None until the bundle's map is made

    def __init__(self, settings: Settings, current: Callable[[], Model], topic_of: Callable[[str], str]) -> None:
        """current: the model that answers now. topic_of: the updates topic of a bundle id; blocks, may raise."""
        self.is_ending: Callable[[], bool] = lambda: False  # whether the server stops, which ends the streams
        self._settings = settings
        self._current = current
        self._topic_of = topic_of
        self._updates = UpdateReader(settings)
        self._pages = 0
        self._reserved: set[object] = set()  # one for each page whose messages were not begun yet
        self._following: asyncio.Task[None] | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._begin()

    def _begin(self) -> None:
        """Forget everything. The ids of earlier messages then mean nothing, so a page begins with a snapshot."""
        self._ring = Ring(secrets.token_hex(4), RING_MESSAGES)
        self._history = History()
        self._freshness = Freshness(self._settings)
        self._news = asyncio.Event()
        self.seen = None

    def open(self, last_id: str) -> AsyncIterator[bytes]:
        """The messages of one more page, as `_messages` gives them. The page counts from now on.

        A page whose messages are never begun counts for BEGINS_WITHIN_S. Raises ProblemError where no more pages may be
        open.
        """
        if self._pages + len(self._reserved) >= MOST_PAGES:
            detail = f"{MOST_PAGES} pages are open, and no more may be: close one, or try again later"
            raise ProblemError(503, "too-many-pages", "Too many open pages", detail, {"Retry-After": "10"})
        reserved = object()
        self._reserved.add(reserved)
        asyncio.get_running_loop().call_later(BEGINS_WITHIN_S, self._reserved.discard, reserved)
        return self._messages(last_id, reserved)

    async def _messages(self, last_id: str, reserved: object) -> AsyncIterator[bytes]:
        """Everything after the message with this id, in the format of server-sent events.

        The first message is a snapshot where `last_id` names no message that is kept. The stream ends when the server
        stops, and after STREAM_LIMIT_S.
        """
        self._reserved.discard(reserved)
        with self._page():
            number = self._ring.number_of(last_id)
            ends_s = time.monotonic() + STREAM_LIMIT_S
            while time.monotonic() < ends_s and not self.is_ending():
                news = self._news
                new = None if number is None else self._ring.since(number)
                number = self._ring.last
                if new is None:
                    yield framed(self._ring.id_of(number), "snapshot", msgspec.json.encode(self._history.snapshot()))
                elif new:
                    yield b"".join(framed(self._ring.id_of(one.number), one.kind, one.data) for one in new)
                elif not await self._wait(news):
                    yield HEARTBEAT

    def follow(self) -> None:
        """Read the topics from now until LINGER_S after the last page was closed. Does nothing while they are read."""
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        if self._following is None:
            self._begin()
            self._following = asyncio.create_task(self._follow())
        if not self._pages:
            self._linger = asyncio.get_running_loop().call_later(LINGER_S, self._stop)

    async def seen_users(self, bundle_id: str) -> SeenUsers:
        """The users of the active bundle. Waits while the bundle's map is made.

        Raises ProblemError where that takes longer than MAP_WITHIN_S.
        """
        self.follow()
        gives_up_s = time.monotonic() + MAP_WITHIN_S
        while time.monotonic() < gives_up_s:
            if self.seen is not None and self.seen.bundle_id == bundle_id:
                return self.seen
            await asyncio.sleep(MAP_CHECK_S)
        raise unavailable(f"the map of bundle {bundle_id} is not made yet; ask again")

    async def close(self) -> None:
        """Stop reading. A client of Kafka that does not end within STOP_S is left alone."""
        following = self._following
        self._stop()
        if following is not None:
            await asyncio.wait([following], timeout=STOP_S)

    def _stop(self) -> None:
        if self._following is not None:
            self._following.cancel()
            self._following = None

    @contextlib.contextmanager
    def _page(self) -> Iterator[None]:
        self._pages += 1
        self.follow()
        try:
            yield
        finally:
            self._pages -= 1
            if self._following is not None:
                self.follow()

    async def _wait(self, news: asyncio.Event) -> bool:
        """Wait for news. False: none came for HEARTBEAT_S, or the server stops."""
        began_s = time.monotonic()
        while not self.is_ending() and time.monotonic() < began_s + HEARTBEAT_S:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(END_CHECK_S):
                    await news.wait()
                return True
        return False

    def _publish(self, kind: str, data: Any, later: Any = None) -> None:
        """later: what a client that goes on after an earlier message gets instead. None: the same."""
        self._ring.add(kind, msgspec.json.encode(data), None if later is None else msgspec.json.encode(later))
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def _follow(self) -> None:
        settings = self._settings
        await asyncio.gather(
            _logged(follow_tail(settings, settings.metrics_topic, LAST_METRICS, self._take_metrics)),
            _logged(follow_tail(settings, settings.alarms_topic, LAST_ALARMS, self._take_alarms)),
            _logged(follow_tail(settings, settings.dead_letter_topic, LAST_LETTERS, self._take_letters)),
            _logged(self._freshness.measure()),
            _logged(self._follow_bundles()),
            _logged(self._report()),
        )

    async def _follow_bundles(self) -> None:
        """Follow the users of the active bundle, whichever bundle is active."""
        while True:
            model = self._model()
            topic = None if model is None else await self._updates_topic(model.bundle_id)
            if model is not None and topic is not None:
                projection = await asyncio.to_thread(project, model.bundle)
                self.seen = SeenUsers(model.bundle, projection, int(time.time() * 1000), self._updates.decode)
                self._freshness.forget()
                await _until_first(
                    follow_tail(self._settings, self._settings.evaluation_topic, LAST_EVENTS, self._take_events),
                    follow_tail(self._settings, topic, LAST_UPDATES, self._take_updates, self._updates.prepare),
                    self._until_other(model),
                )
            await asyncio.sleep(END_CHECK_S)

    async def _updates_topic(self, bundle_id: str) -> str | None:
        """The topic of the bundle's updates; None where Cassandra does not tell the topic."""
        try:
            return await asyncio.to_thread(self._topic_of, bundle_id)
        except ThalwegError as error:
            logger.warning("the page does not know the updates topic of %s: %s", bundle_id, error)
            await asyncio.sleep(TOPIC_RETRY_S)
            return None

    async def _until_other(self, model: Model) -> None:
        while True:
            await asyncio.sleep(END_CHECK_S)
            if self._model() is not model:
                return

    async def _report(self) -> None:
        """Publish a status every STATUS_EVERY_S."""
        watch = TopicWatch(self._settings, self._settings.behavior_topic)
        # monotonic time in s, records sent, events applied
        before: tuple[float, int | None, float | None] | None = None
        try:
            while True:
                await asyncio.sleep(STATUS_EVERY_S)
                bundle_id = None if (model := self._model()) is None else model.bundle_id
                topic = await self._described(watch, bundle_id)
                seen = self.seen
                if seen is not None and seen.bundle_id != bundle_id:  # after a switch, until the new map is made
                    seen = None
                applied = None if seen is None else seen.applied
                now = (time.monotonic(), None if topic is None else sum(topic.end_offsets.values()), applied)
                p50_ms, p99_ms, samples = (None, None, 0) if seen is None else self._freshness.quantiles()
                status = Status(
                    time_ms=int(time.time() * 1000),
                    bundle_id=bundle_id,
                    sent_per_s=_rate(before, now, 1),
                    applied_per_s=_rate(before, now, 2),
                    lag=None if topic is None or bundle_id is None else topic.lag,
                    freshness_p50_ms=p50_ms,
                    freshness_p99_ms=p99_ms,
                    freshness_samples=samples,
                    last=[] if seen is None else [shown_event(event) for event in seen.last],
                )
                before = now
                self._history.add_status(status)
                # A later reader gets the figures without the events, whose users may be erased by then.
                self._publish("status", status, msgspec.structs.replace(status, last=[]))
        finally:
            asyncio.get_running_loop().run_in_executor(None, watch.close)

    async def _described(self, watch: TopicWatch, bundle_id: str | None) -> Topic | None:
        group = None if bundle_id is None else self._settings.consumer_group_id(bundle_id)
        try:
            return await asyncio.to_thread(watch.describe, group)
        except ThalwegError:  # The log has the reason from the readers of the topics.
            return None

    def _model(self) -> Model | None:
        try:
            return self._current()
        except ProblemError:
            return None

    def _take_metrics(self, records: Sequence[Any]) -> None:
        if new := self._history.add_metrics(records):
            self._publish("metrics", new)

    def _take_alarms(self, records: Sequence[Any]) -> None:
        if new := self._history.add_alarms(records):
            self._publish("alarms", new)

    def _take_letters(self, records: Sequence[Any]) -> None:
        if letters := self._history.add_letters(records):
            self._publish("dead_letters", letters)

    def _take_events(self, records: Sequence[Any]) -> None:
        if self.seen is not None:
            for record in records:
                self.seen.add_event(record)

    def _take_updates(self, records: Sequence[Any]) -> None:
        if self.seen is not None:
            since_ms = self.seen.since_ms
            found = [(record, self.seen.add_update(record)) for record in records]
            new = [(record, update) for record, update in found if update is not None and record.timestamp >= since_ms]
            self._freshness.offer(new)


def shown_event(event: EvaluationEvent) -> dict[str, Any]:
    """The fields of an evaluation event that the page shows."""
    names = ("id", "user_id", "item_id", "action", "event_time_ms", "rank", "catalogue", "steps")
    return {name: getattr(event, name) for name in names}


def _rate(before: tuple[Any, ...] | None, now: tuple[Any, ...], place: int) -> float | None:
    """How much a count grew in a second. None where a count is missing, or began anew."""
    if before is None or before[place] is None or now[place] is None or now[place] < before[place]:
        return None
    return float((now[place] - before[place]) / max(now[0] - before[0], 1e-3))


async def _logged(part: Coroutine[Any, Any, None]) -> None:
    """Run a part of the page. An error is a fault of this code: the log says so, and the other parts go on."""
    try:
        await part
    except Exception:  # The API must not end with a fault of the page.
        logger.exception("a part of the page ended")


async def _until_first(*parts: Coroutine[Any, Any, None]) -> None:
    """Run the parts until one ends, and cancel the others. Raises what the part raised."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=STOP_S)
