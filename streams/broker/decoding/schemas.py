"""The decoders of schemas by id. A schema is asked for once, because an id never gets another schema.

A registry that does not answer is waited for. A registry that does not know an id may lag behind the producers, as a
follower in another data centre does. So the question is repeated for a while, and longer for a fresh record. Then every
record with the id is rejected with a reason that names the id.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from streams.broker.decoding.client import NotRegistered, RegistryClient
from streams.broker.decoding.decoders import make_decoder
from streams.config.errors import RegistryError
from streams.contracts.dead_letters import SCHEMA_FIELD
from streams.engine.codec import Rejected
from streams.engine.payload.registry_reader import Decode
from streams.engine.payload.wire_format import schema_id

logger = logging.getLogger(__name__)

MIN_TRIES = 3
MOST_LAGGING = 100  # So many unknown ids at a time are bytes that are no ids, and each question takes milliseconds.
LAG_S = 10.0  # A registry may know an id so much later than the first record with the id was written.
FORGOTTEN_AFTER_S = 60.0  # An unknown id is asked for again after this time.
FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 5.0
MOST_CHARACTERS = 1_000  # of a reason; a compiler may name thousands of lines, and each dead letter holds the reason
OUTAGE_LIMIT_S = 30.0  # A command, other than a worker, waits so long for a registry that does not answer.


class Schemas:
    """The schemas of one registry. `decoders` and `prepare` may run in different threads."""

    def __init__(self, client: RegistryClient, fate: str = "the records become dead letters") -> None:
        """fate: what becomes of values whose schema cannot be had, for the log."""
        self._client = client
        self._fate = fate
        self._known: dict[int, Decode | Rejected] = {}
        self._unknown_since: dict[int, float] = {}  # when the registry did not know these ids

    def decoders(self, ids: AbstractSet[int]) -> Mapping[int, Decode | Rejected]:
        """The decoders of these ids. Blocks while ids are asked for that nobody has prepared.

        Raises SettingsError, and RegistryError after OUTAGE_LIMIT_S.
        """
        while len(found := self._found(ids)) < len(ids):
            for wait_s in self._ask(ids - found.keys(), 0.0, OUTAGE_LIMIT_S):
                time.sleep(wait_s)
        return found

    def _found(self, ids: AbstractSet[int]) -> dict[int, Decode | Rejected]:
        """What is known of these ids. Another thread may forget an unknown id meanwhile."""
        return {one: decoder for one in ids if (decoder := self._known.get(one)) is not None}

    async def prepare(self, records: Iterable[Any]) -> None:
        """Get the schemas of these records. Waits for the registry as long as the registry does not answer.

        Raises SettingsError.
        """
        newest_ms: dict[int, int] = {}
        for record in records:
            value = record.value
            if value is not None and (written_by := schema_id(value)) is not None:
                newest_ms[written_by] = record.timestamp
        self._forget()
        missing = newest_ms.keys() - self._known.keys()
        if not missing:
            return
        age_s = time.time() - max(newest_ms[one] for one in missing) / 1000
        asking = self._ask(missing, min(LAG_S, LAG_S - age_s), float("inf"))
        while True:
            wait_s = await asyncio.to_thread(next, asking, None)
            if wait_s is None:
                return
            await asyncio.sleep(wait_s)

    def _forget(self) -> None:
        """Forget that ids were unknown, so that they are asked for again."""
        if self._unknown_since:
            before_s = time.monotonic() - FORGOTTEN_AFTER_S
            for one, since_s in list(self._unknown_since.items()):  # Another thread may add an id meanwhile.
                if since_s < before_s:
                    del self._unknown_since[one]
                    self._known.pop(one, None)

    def _ask(self, ids: AbstractSet[int], lag_s: float, outage_limit_s: float) -> Iterator[float]:
        """Ask until every id is known or given up. Yields the seconds to wait before the next question.

        lag_s: how long an unknown id is asked for, at least MIN_TRIES times. outage_limit_s: how long the registry may
        stay without an answer.
        """
        missing, tries, started_s = set(ids), 0, time.monotonic()
        wait_s = FIRST_WAIT_S
        down_since_s: float | None = None
        while True:
            try:
                why = self._ask_once(missing)
            except RegistryError as error:
                now_s = time.monotonic()
                if down_since_s is None:
                    down_since_s, wait_s = now_s, FIRST_WAIT_S
                if now_s - down_since_s > outage_limit_s:
                    raise
                logger.warning("%s; records with the schemas %s wait", error, _shown(missing))
            else:
                if down_since_s is not None:
                    logger.warning("the schema registry answers again")
                    down_since_s, tries, started_s, wait_s = None, 0, time.monotonic(), FIRST_WAIT_S
                tries += 1
                if not missing:
                    return
                has_waited = tries >= MIN_TRIES and time.monotonic() - started_s > lag_s
                if has_waited or len(missing) > MOST_LAGGING:
                    self._give_up(missing, why, time.monotonic() - started_s)
                    return
            yield wait_s
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    def _ask_once(self, missing: set[int]) -> str:
        """Ask for each id, and take what is known out of `missing`. Returns the last answer that an id is unknown."""
        why = ""
        for one in sorted(missing):
            try:
                self._known[one] = self._decoder(one)
            except NotRegistered as answer:
                why = _cut(str(answer))
            else:
                missing.discard(one)
        return why

    def _decoder(self, one: int) -> Decode | Rejected:
        registered = self._client.schema(one)
        try:
            return make_decoder(registered, self._client.referenced)
        except ValueError as error:
            why = _cut(f"schema {one} of {self._client.address}: {error}")
            logger.error("%s; %s", why, self._fate)
            return Rejected(why, SCHEMA_FIELD)

    def _give_up(self, missing: AbstractSet[int], why: str, after_s: float) -> None:
        now_s = time.monotonic()
        logger.error(
            "the schema registry at %s does not know the schemas %s (%s); %s",
            self._client.address,
            _shown(missing),
            why,
            self._fate,
        )
        for one in missing:
            reason = (
                f"schema {one} is not registered at {self._client.address}, asked for during {after_s:.0f} s: {why}; "
                "register the schema under this id, then send the dead letter again"
            )
            self._known[one] = Rejected(reason, SCHEMA_FIELD)
            self._unknown_since[one] = now_s


def _cut(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}…"


def _shown(ids: AbstractSet[int]) -> str:
    first = sorted(ids)[:5]
    return ", ".join(map(str, first)) + (f" and {len(ids) - len(first)} more" if len(ids) > len(first) else "")
