"""Puts pseudonyms in the place of user ids as soon as a record is decoded. Pure.

The decoder inside has compared the key of a record with the plain id. Behind this decoder no outcome holds a plain id:
reasons, skipped values and dropped fields show no values, because a value of any field may be an id.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from encoder.data.contract.judge import DroppedField
from encoder.data.contract.quoting import NOT_SHOWN
from encoder.data.events import BehaviorEvent
from streams.contracts.privacy.pseudonyms import Pseudonyms
from streams.engine.codec import Erasure, Outcome, RecordDecoder, Rejected, Several, Skipped, WithoutUser

WITH_PSEUDONYMS = " with pseudonyms "  # in the name of a decoder, before the fingerprint of the key
_replace = msgspec.structs.replace


class PseudonymDecoder:
    """Decodes as another decoder does, and hashes the ids of users."""

    keys_name_users = False  # The key of a record is the plain id, and callers know pseudonyms.

    def __init__(self, decoder: RecordDecoder, pseudonyms: Pseudonyms) -> None:
        self.name = f"{decoder.name}{WITH_PSEUDONYMS}{pseudonyms.fingerprint}"
        self._decoder = decoder
        self._pseudonyms = pseudonyms

    def decode_batch(self, records: Sequence[Any], dropped: list[DroppedField] | None = None) -> list[Outcome]:
        lost: list[DroppedField] | None = None if dropped is None else []
        outcomes: list[Outcome] = []
        append, of = outcomes.append, self._pseudonyms.of
        known: dict[str, str] = {}  # A user often has several records in a batch. Nothing keeps ids beyond the batch.
        for outcome in self._decoder.decode_batch(records, lost):
            if isinstance(outcome, WithoutUser):
                append(_without_values(outcome))
                continue
            user_id = outcome.user_id
            pseudonym = known.get(user_id)
            if pseudonym is None:
                pseudonym = known[user_id] = of(user_id)
            append(_with_user(outcome, pseudonym))
        if dropped is not None and lost:
            dropped += [DroppedField(one.field, one.reason, NOT_SHOWN, NOT_SHOWN) for one in lost]
        return outcomes


def _without_values(outcome: WithoutUser) -> Rejected | Skipped:
    if isinstance(outcome, Rejected):
        reason = f"{outcome.field} is refused: the reason with its values is kept from readers without the key"
        return Rejected(reason, outcome.field, outcome.reason)
    assert isinstance(outcome, Skipped), "a record without a user is rejected or skipped"
    return Skipped(outcome.reason, NOT_SHOWN)


def _with_user(outcome: BehaviorEvent | Several | Erasure, user_id: str) -> BehaviorEvent | Several | Erasure:
    if isinstance(outcome, Several):
        events = tuple(_replace(event, user_id=user_id) for event in outcome.events)
        return Several(outcome.event_id, user_id, events)
    return _replace(outcome, user_id=user_id)
