"""What a scored micro-batch tells the outside, encoded: evaluation events, updates and dead letters. Pure."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from export.runtime.queries import bought_of_states, recent_of_states
from streams.contracts.dead_letters import CONTENT_HEADER, dead_letter, erasure_marker
from streams.contracts.evaluation_events import EvaluationEvent
from streams.contracts.fields import event_id, record_id
from streams.contracts.privacy.hidden_letters import DROPPED, Hiding
from streams.contracts.privacy.update_noise import UpdateNoise
from streams.contracts.representation_updates import RepresentationUpdate, tombstone_keys, update_keys
from streams.engine.codec import Rejected
from streams.engine.epochs import EpochView
from streams.engine.foresight import SCORES
from streams.engine.payload.update_encoders import Encode
from streams.engine.planning.candidates import Erased
from streams.engine.planning.plan import Planned
from streams.engine.planning.rows import Rows
from streams.engine.stages import Scored
from streams.engine.state_cell import bytes_of_rows

# A record of an output topic: the partition of the behaviour record, the key and the value. A named tuple would cost
# 0.2 us more an event.
Output = tuple[int, bytes | None, bytes | None]


class Letter(NamedTuple):
    """A record of the dead-letter topic. The partition is that of the behaviour record."""

    partition: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class OutputEncoder:
    """Encodes the outputs of one bundle's micro-batches."""

    def __init__(
        self,
        behavior_topic: str,
        bundle_id: str,
        catalogue: int,
        places: int,
        share: float,
        bought_places: int = 0,
        encode_updates: Encode | None = None,
        hiding: Hiding | None = None,
        noise: UpdateNoise | None = None,
    ) -> None:
        """catalogue: the number of ranked items. places, bought_places: the numbers of recent and of bought items that
        the bundle knows of a user. share: the share of the events that is evaluated, above 0, up to 1. encode_updates:
        encodes updates in another format than JSON. hiding: how originals of dead letters are hidden; None: they are
        shown. noise: what the vectors of updates get; None: updates are exact.
        """
        self._topic = behavior_topic
        self.bundle_id = bundle_id
        self._catalogue = catalogue
        self._places, self._bought_places = places, bought_places
        self._share = share
        self._hiding, self._noise = hiding, noise
        self._incarnation = 0
        self._encoder = msgspec.json.Encoder()
        self._encode_updates: Callable[[list[RepresentationUpdate]], list[bytes]] = encode_updates or self._encode_each

    def use_epoch(self, view: EpochView) -> None:
        """Name the topic's incarnation in the ids of all outputs from now on."""
        self._incarnation = view.incarnation

    def evaluations(self, scored: Scored) -> Iterator[Output]:
        """One evaluation event for every evaluated event, in order."""
        applied, at = scored.applied, scored.evaluated
        events = applied.event if len(at) == len(applied.event) else [applied.event[i] for i in at.tolist()]
        partitions = applied.partition[at].tolist()
        prefix = {
            partition: record_id(self._topic, self._incarnation, partition, 0)[:-1] for partition in set(partitions)
        }
        offsets, gaps = applied.offset[at].tolist(), applied.gap_ms[at].tolist()
        reciprocal = np.divide(1.0, scored.rank, out=np.zeros(len(at)), where=scored.rank > 0)
        users = [event.user_id for event in events]
        ids = [f"{prefix[partition]}{offset}" for partition, offset in zip(partitions, offsets, strict=True)]
        lines = applied.line[at]
        for position in np.flatnonzero(lines).tolist():
            ids[position] = event_id(ids[position], int(lines[position]))
        # The values stand in the order of the fields. Keyword arguments would take twice as long.
        fields: list[Iterable[Any]] = [
            ids,
            users,
            repeat(self.bundle_id),
            [event.item_id for event in events],
            [event.action for event in events],
            applied.previous_item[at].tolist(),
            [rank or None for rank in scored.rank.tolist()],
            reciprocal.tolist(),
            repeat(self._catalogue),
            applied.steps[at].tolist(),
            [None if gap_ms < 0 else gap_ms for gap_ms in gaps],
            [event.event_time_ms for event in events],
        ]
        if scored.foresight is not None:
            fields += scored.foresight.columns()
        elif self._share != 1:
            fields += [repeat(None)] * SCORES
        if self._share != 1:
            fields.append(repeat(self._share))
        values = self._encode_each(map(EvaluationEvent, *fields))
        return zip(partitions, map(str.encode, users), values, strict=True)

    @property
    def adds_noise(self) -> bool:
        """Whether updates hold noisy vectors."""
        return self._noise is not None

    def updates(self, scored: Scored) -> Iterator[Output]:
        """Tombstones of erased users, then the representation of every user that changed or was replayed."""
        yield from self.tombstones(scored.erased)
        which = scored.updated_rows()
        yield from self.updates_of(scored.rows.select(which), scored.state[which], scored.representation[which])

    def tombstones(self, erased: Iterable[Erased]) -> Iterator[Output]:
        """The records by which the updates topic forgets erased users."""
        for one in erased:
            for key in tombstone_keys(self.bundle_id, one.user_id):
                yield one.partition, key, None

    def updates_of(
        self, rows: Rows, state: NDArray[np.float32], representation: NDArray[np.float32]
    ) -> Iterator[Output]:
        """The update of each of n rows. state: (n, S) float32. representation: (n, D) float32."""
        partitions, users = rows.partition.tolist(), rows.user_id
        sources = list(map(record_id, repeat(self._topic), repeat(self._incarnation), partitions, rows.offset.tolist()))
        columns: list[Iterable[Any]]
        if self._noise is None:
            columns = [
                _bytes_of_floats(representation),
                rows.steps.tolist(),
                rows.last_time_ms.tolist(),
                sources,
                *self._item_columns(state),
            ]
        else:  # Noise would hide nothing beside the user's items, the number of events and the event time.
            columns = [
                _bytes_of_floats(self._noise.published(users, sources, representation)),
                repeat(0),
                repeat(0),
                sources,
            ]
        updates = map(RepresentationUpdate, users, repeat(self.bundle_id), *columns)
        keys = update_keys(self.bundle_id, users)
        yield from zip(partitions, keys, self._encode_updates(list(updates)), strict=True)

    def _item_columns(self, state: NDArray[np.float32]) -> list[Iterable[Any]]:
        """The recent and the bought items of each update, as far as the bundle knows them. state: (n, S) float32."""
        columns: list[Iterable[Any]] = []
        if self._places:
            item, score = recent_of_states(state, self._places)
            columns += [
                bytes_of_rows(part) for part in (item.astype("<i4", copy=False), score.astype("<f4", copy=False))
            ]
        if self._bought_places:
            columns += [] if self._places else [repeat(None), repeat(None)]
            bought = bought_of_states(state, self._bought_places)
            columns.append(bytes_of_rows(bought.astype("<i4", copy=False)))
        return columns

    def dead_letters(self, planned: Planned) -> Iterator[Letter]:
        """A dead letter for every rejected record, then a marker for every erasure."""
        return self.letters(planned.rejected, planned.erased)

    def letters(self, rejected: Iterable[tuple[Any, Rejected]], erased: Iterable[Erased]) -> Iterator[Letter]:
        """A dead letter for each record and its reason, then a marker for each erasure.

        The marker tells `thalweg dlq` which dead letters belong to an erased user. records: as `dead_letter` takes
        them.
        """
        for record, why in rejected:
            letter = dead_letter(record, why.reason, why.field, self._incarnation, self.bundle_id)
            if self._hiding is not None:
                letter = self._hiding.hide(letter, why.hidden_reason or why.reason)
            value = b"" if letter.key is None and letter.value is None else letter.value
            yield Letter(record.partition, letter.key, value, letter.headers)
        for user_id, partition, offset in erased:
            yield Letter(partition, b"", b"", erasure_marker(user_id, self._incarnation, offset))

    def letters_without_original(self, rejected: Iterable[tuple[Any, Rejected]]) -> Iterator[Letter]:
        """A dead letter for each record and its reason, where nobody has the record's bytes.

        The key of a record is the stored id of its user, so a key of pseudonyms hashes nothing again.
        """
        for record, why in rejected:
            letter = dead_letter(record, why.reason, why.field, self._incarnation, self.bundle_id)
            yield Letter(record.partition, letter.key, b"", [*letter.headers, (CONTENT_HEADER, DROPPED.encode())])

    def _encode_each(self, values: Iterable[Any]) -> list[bytes]:
        """Each value as JSON."""
        # msgspec 0.22 never frees the values of an iterator, so `encode_lines` gets a list.
        return self._encoder.encode_lines(list(values)).split(b"\n")[:-1]


def _bytes_of_floats(vectors: NDArray[np.float32]) -> list[bytes]:
    return bytes_of_rows(vectors.astype("<f4", copy=False))
