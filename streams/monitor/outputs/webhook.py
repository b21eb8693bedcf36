"""Tells an Alertmanager about alarms, by its API v2: POST /api/v2/alerts.

An Alertmanager forgets an alert that is not repeated, so the alarms that fire are posted every minute. An alert is the
same one if its labels are the same, so a repetition raises nothing again.
"""

import asyncio
import contextlib
import http.client
import logging
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from streams.contracts.alarm_events import AlarmEvent

logger = logging.getLogger(__name__)

PATH = "/api/v2/alerts"
REPEAT_S = 60.0
TIMEOUT_S = 5.0
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0  # after a failure; the wait doubles from one failure to the next
MAX_ENDED = 1_000  # ends of alarms that wait for an answer


class Webhook:
    """Posts alarms beside the event loop. A server that does not answer never delays the monitor."""

    def __init__(self, url: str, firing: Callable[[], list[AlarmEvent]]) -> None:
        """url: of the server, without PATH. firing: gives the alarms that fire."""
        self._url = url.rstrip("/") + PATH
        self._firing = firing
        self._ended: dict[str, AlarmEvent] = {}  # by id, until the server has taken them
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self, ended: Iterable[AlarmEvent]) -> None:
        """Begin to post. ended: alarms that ended lately, which the server may not know."""
        self._ended |= {alarm.id: alarm for alarm in ended}
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Post what is new once more, and end."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            if self._news.is_set():
                await self._post()

    def tell(self, alarm: AlarmEvent) -> None:
        """Post soon that an alarm began or ended."""
        if alarm.state == "resolved":
            self._ended[alarm.id] = alarm
            if len(self._ended) > MAX_ENDED:
                del self._ended[next(iter(self._ended))]
        self._news.set()

    async def _run(self) -> None:
        wait_s = FIRST_WAIT_S
        while True:
            self._news.clear()
            if await self._post():
                wait_s = FIRST_WAIT_S
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(REPEAT_S):
                        await self._news.wait()
            else:
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    async def _post(self) -> bool:
        """Post all alarms that fire or have ended. Returns False when the server did not take them."""
        ended = dict(self._ended)
        alerts = [alert(alarm) for alarm in [*ended.values(), *self._firing()]]
        if not alerts:
            return True
        failure = await asyncio.to_thread(_send, self._url, msgspec.json.encode(alerts))
        if failure is not None:
            logger.warning("%d alarms were not taken by %s: %s; they are sent again", len(alerts), self._url, failure)
            return False
        for name in ended:
            self._ended.pop(name, None)
        return True


def alert(alarm: AlarmEvent) -> dict[str, Any]:
    """The alarm as an Alertmanager's API takes it."""
    made: dict[str, Any] = {
        "labels": {
            "alertname": f"thalweg_{alarm.name}",
            "bundle": alarm.bundle_id,
            "slice": alarm.slice,
        },
        "annotations": {
            "summary": alarm.detail,
            "value": f"{alarm.value:.6g}",
            "expected": f"{alarm.expected:.6g}",
        },
        "startsAt": _text(alarm.starts_at_ms),
    }
    if alarm.ends_at_ms is not None:
        made["endsAt"] = _text(alarm.ends_at_ms)
    return made


def _text(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _send(url: str, body: bytes) -> str | None:
    """POST the body. Returns why that failed, None when the server took it."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):
            return None
    except urllib.error.HTTPError as error:
        return f"status {error.code}"
    except (OSError, http.client.HTTPException) as error:
        return str(getattr(error, "reason", "")) or repr(error)
