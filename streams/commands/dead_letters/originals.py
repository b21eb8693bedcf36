"""Records of the dead-letter topic with their originals, where a key decrypts them. Pure."""

from collections.abc import Sequence, Set
from typing import Any, NamedTuple

from streams.contracts.dead_letters import CONTENT_HEADER, OUR_HEADERS, REASON_HEADER, decode_headers
from streams.contracts.privacy.hidden_letters import key_of_content, read_original
from streams.contracts.privacy.pseudonyms import Pseudonyms

Headers = Sequence[tuple[str, bytes | None]]


class LetterRecord(NamedTuple):
    """The fields of a record of aiokafka that the command reads."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Originals:
    """Decrypts what one key has encrypted. Other letters stay as they are."""

    def __init__(self, pseudonyms: Pseudonyms | None) -> None:
        """pseudonyms: None where the settings name no key."""
        self._pseudonyms = pseudonyms

    def read(self, record: Any) -> Any:
        """The record, with the key, the value, the headers and the reason of its original where the key fits.

        A record that stays encrypted has an empty value, so that nobody takes its bytes for text or for a schema id.
        """
        headers = decode_headers(record.headers)
        key = key_of_content(headers)
        if key is None:
            return record
        if self._pseudonyms is None or key != self._pseudonyms.fingerprint:
            return _record(record, record.key, b"", record.headers)
        try:
            original = read_original(self._pseudonyms, record.value, headers)
        except ValueError as error:  # Any program may write to the topic.
            reason = f"{headers.get(REASON_HEADER, '')}; the content was changed, and cannot be decrypted: {error}"
            return _record(record, record.key, b"", [*record.headers, (REASON_HEADER, reason.encode())])
        ours = [(name, value) for name, value in record.headers if name.startswith(OUR_HEADERS)]
        kept = [one for one in ours if one[0] not in (REASON_HEADER, CONTENT_HEADER)]
        reason_header = (REASON_HEADER, original.reason.encode())
        return _record(record, original.key, original.value, [*kept, reason_header, *original.headers])

    def user_ids(self, user_ids: Set[bytes]) -> Set[bytes]:
        """The ids, and the pseudonyms that markers of erasures name instead."""
        if self._pseudonyms is None:
            return user_ids
        return user_ids | {self._pseudonyms.of_bytes(user_id).encode() for user_id in user_ids}


def _record(record: Any, key: bytes | None, value: bytes | None, headers: Headers) -> LetterRecord:
    return LetterRecord(record.partition, record.offset, record.timestamp, key, value, headers)
