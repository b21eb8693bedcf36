"""Which records of the dead-letter topic are dead letters to be shown and sent again. Pure.

The topic also holds markers: a resend leaves a marker, and so does the erasure of a user. A marker stands behind the
letters that it names, so all markers are read before the first letter is judged.
"""

from collections.abc import Callable, Set
from typing import Any

from streams.commands.dead_letters.erasures import Erasures
from streams.commands.dead_letters.letter import SourcePosition, source_position
from streams.contracts.dead_letters import (
    EPOCH_HEADER,
    ERASED_HEADER,
    OFFSET_HEADER,
    RESENT_HEADER,
    TOPIC_HEADER,
    decode_headers,
)


class Markers:
    """The markers of the dead-letter topic, and the letters that were already read."""

    def __init__(self, user_ids_of: Callable[[Any], Set[bytes]]) -> None:
        """user_ids_of: every id, in UTF-8, that a dead letter may have as its user."""
        self._user_ids_of = user_ids_of
        self.resent: set[tuple[int, int]] = set()  # partition and offset of the letters that were sent again
        self.letters_of_erased_users = 0  # letters that `hides` left out because of an erasure
        self._erasures = Erasures()
        self._originals: set[tuple[str, SourcePosition]] = set()

    @property
    def has_erasures(self) -> bool:
        """Whether a marker of an erasure was read. Only then the users of letters count."""
        return bool(self._erasures)

    def add(self, record: Any) -> None:
        """Take in a record of the topic if the record is a marker."""
        headers = decode_headers(record.headers)
        if not is_marker(headers):
            return
        if RESENT_HEADER in headers:
            self.resent.update((record.partition, offset) for offset in _offsets(headers[RESENT_HEADER]))
        else:
            self._erasures.add_marker(headers, record.partition, record.timestamp)

    def hides(self, record: Any, headers: dict[str, str]) -> bool:
        """True when the record is a marker, or a letter that must be neither shown nor sent again.

        Call this method once for each record, in the order of each partition. A worker that replays records after a
        crash writes their dead letters again; the first letter of an original counts.
        """
        if is_marker(headers):
            return True
        position = source_position(record, headers)
        if position.offset >= 0:
            original = (headers.get(TOPIC_HEADER, ""), position)
            if original in self._originals:
                return True
            self._originals.add(original)
        if (record.partition, record.offset) in self.resent:
            return True
        is_of_erased_user = bool(self._erasures) and self._erasures.covers(position, self._user_ids_of(record))
        self.letters_of_erased_users += is_of_erased_user
        return is_of_erased_user


def is_marker(headers: dict[str, str]) -> bool:
    """True for the headers of a marker that Thalweg wrote.

    Any program may write to the topic. A record with the name of a marker's header and without a marker's values is
    shown as a letter that Thalweg did not write.
    """
    try:
        if RESENT_HEADER in headers:
            return bool(_offsets(headers[RESENT_HEADER]))
        return ERASED_HEADER in headers and min(int(headers[OFFSET_HEADER]), int(headers.get(EPOCH_HEADER, 0))) >= 0
    except (KeyError, ValueError):
        return False


def _offsets(text: str) -> list[int]:
    return [int(offset) for offset in text.split(",")]
