"""A log that says the same thing at most once in a while: a service that is away would fill it."""

import logging
import time

from streams.config.errors import ThalwegError

INTERVAL_S = 30.0
KINDS = 1000
FIRST = 3  # of a kind in an interval; what is different about them stands in the first ones


class Limit(logging.Filter):
    """Lets the first records of a kind (logger and template) in an interval pass, and counts the rest."""

    def __init__(self) -> None:
        super().__init__()
        self._kinds: dict[tuple[str, str], tuple[float, int]] = {}  # when the interval began, how many came in it

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.ERROR and record.name.startswith("streams."):
            return True  # ours: each says something else
        kind = (record.name, str(record.msg)[:60])
        now_s = time.monotonic()
        if len(self._kinds) > KINDS:  # templates are few; this bounds what puts values into them
            self._kinds.clear()
        began_s, count = self._kinds.get(kind, (now_s, 0))
        if now_s - began_s >= INTERVAL_S:
            if count > FIRST:
                record.msg = f"{record.msg} (and {count - FIRST} more like this since)"
            began_s, count = now_s, 0
        self._kinds[kind] = (began_s, count + 1)
        return count < FIRST


def one_line(record: logging.LogRecord) -> bool:
    """A filter that leaves the traceback off errors of ours, and off those of clients whose service is away."""
    ours = isinstance(record.exc_info[1] if record.exc_info else None, ThalwegError)
    if ours and record.name == "faust.worker":
        return False  # the command ends with its text
    if ours or record.name.startswith(("cassandra", "aiokafka")):
        record.exc_info = None
    return True
