"""Filters that keep a log readable while a service is away.

A client library would then repeat the same messages and tracebacks many times a second.
"""

import logging
import time

from streams.config.errors import ThalwegError

INTERVAL_S = 30.0
# Records of one kind that pass in an interval. The first few show what differs between them, such as addresses.
RECORDS_PER_INTERVAL = 3
# A kind is a message template, so kinds are few. The limit bounds memory when a library puts values into templates.
MAX_KINDS = 1000
KIND_LENGTH = 60  # characters of the template that belong to the kind


class RateLimitFilter(logging.Filter):
    """Lets the first records of each kind pass in every interval and counts the others.

    A kind is a logger and the beginning of the message template. The first record of the next interval says how many
    records were left out. Errors of Thalweg's own loggers always pass, because each of them says something else.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kinds: dict[tuple[str, str], tuple[float, int]] = {}  # beginning of the interval, and records in it

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.ERROR and record.name.startswith("streams."):
            return True
        kind = (record.name, str(record.msg)[:KIND_LENGTH])
        now_s = time.monotonic()
        if len(self._kinds) > MAX_KINDS:
            self._kinds.clear()
        began_s, count = self._kinds.get(kind, (now_s, 0))
        if now_s - began_s >= INTERVAL_S:
            if count > RECORDS_PER_INTERVAL:
                record.msg = f"{record.msg} (and {count - RECORDS_PER_INTERVAL} more like this since)"
            began_s, count = now_s, 0
        self._kinds[kind] = (began_s, count + 1)
        return count < RECORDS_PER_INTERVAL


def strip_traceback(record: logging.LogRecord) -> bool:
    """A filter that removes tracebacks of a ThalwegError, and tracebacks that the client libraries log.

    The message says everything that helps when a service is away. A ThalwegError that Faust logs is left out, because
    the command itself ends with the text of the error.
    """
    is_ours = isinstance(record.exc_info[1] if record.exc_info else None, ThalwegError)
    if is_ours and record.name == "faust.worker":
        return False
    if is_ours or record.name.startswith(("cassandra", "aiokafka")):
        record.exc_info = None
    return True
