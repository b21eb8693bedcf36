"""A receiver of lineage events that keeps what clients of OpenLineage send by HTTP."""

import json
from typing import Any

from tests.tools.receivers.http_receiver import HttpReceiver


class LineageReceiver(HttpReceiver):
    """status: the answer to every event."""

    def __init__(self, status: int = 201) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []
        self._status = status

    def take(self, path: str, body: bytes) -> int:
        if path == "/api/v1/lineage" and self._status < 300:
            self.events.append(json.loads(body))
        return self._status

    def states(self) -> list[str]:
        """Return the type of each event, in the order of arrival."""
        return [event["eventType"] for event in self.events]
