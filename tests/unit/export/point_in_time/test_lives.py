"""The vectors of labels are those that the stream had stored at the moments of the labels."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoder.data.event_log import Texts
from encoder.data.events import BehaviorEvent
from export.point_in_time.lives import lives_of
from export.point_in_time.log_events import digests
from export.point_in_time.records import EVENT, LABEL, Records, user_keys
from export.point_in_time.stepping import representations
from export.runtime.bundle import Bundle
from export.runtime.stepper import Stepper
from streams.engine.codec import Erasure, Several
from tests.support.bundles import tiny_bundle
from tests.support.stream.moments import WITHOUT_HISTORY, Stream

USERS = ["anna", "ben", "cleo"]
EXAMPLES = 50


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundle") / "bundle", items=12, width=8)


class Given(NamedTuple):
    """A record of the topic. ids: of its events; without ids, the record is an erasure."""

    user: str
    ids: tuple[str, ...]
    item: int
    time_ms: int  # of the events
    moment_ms: int  # of the record

    def outcome(self) -> BehaviorEvent | Several | Erasure:
        events = tuple(
            BehaviorEvent(
                event_id=event_id,
                user_id=self.user,
                item_id=f"item-{self.item + line}",
                action="view",
                event_time_ms=self.time_ms,
            )
            for line, event_id in enumerate(self.ids)
        )
        if not events:
            return Erasure(self.user)
        return events[0] if len(events) == 1 else Several(events[0].event_id, self.user, events)


def rows_of(records: list[Given], bundle: Bundle) -> Records:
    rows = [
        (number, line, one, event_id)
        for number, one in enumerate(records)
        for line, event_id in enumerate(one.ids or ("",))
    ]
    events = np.zeros(len(rows), EVENT)
    events["user"] = user_keys(one.user for _, _, one, _ in rows)
    events["record"], events["line"] = [number for number, *_ in rows], [line for _, line, *_ in rows]
    events["moment_ms"] = [one.moment_ms for _, _, one, _ in rows]
    events["time_ms"] = [one.time_ms for _, _, one, _ in rows]
    events["digest"] = digests(Texts.of(event_id for *_, event_id in rows), len(rows))
    events["item"] = [bundle.item_index.get(f"item-{one.item + line}", 0) for _, line, one, _ in rows]
    events["action"] = bundle.action_index["view"]
    events["is_erasure"] = [not one.ids for _, _, one, _ in rows]
    return events


def check(records: list[Given], in_order: list[Given], by_arrival: bool, bundle: Bundle, stepper: Stepper) -> None:
    """Compare every label near a record with the stream. in_order: the records as the stream reads them."""
    stream = Stream(bundle)
    for offset, one in enumerate(in_order):
        stream.apply(offset, one.outcome(), one.moment_ms)
    times = sorted({one.moment_ms + near for one in records for near in (0, 1)} | {0, 10**13})
    wanted = [(user, time_ms) for user in [*USERS, "nobody"] for time_ms in times]
    labels = np.zeros(len(wanted), LABEL)
    labels["user"] = user_keys(user for user, _ in wanted)
    labels["time_ms"] = [time_ms for _, time_ms in wanted]
    lives, seen = lives_of(rows_of(records, bundle), labels, by_arrival=by_arrival)
    found = representations(bundle, stepper, lives, seen)
    for at, (user, time_ms) in enumerate(wanted):
        expected = stream.row_at(user, time_ms)
        steps = int(seen.steps[at])
        last_ms = int(lives.latest_ms[lives.starts[seen.life[at]] + steps - 1]) if steps else WITHOUT_HISTORY
        assert (steps, last_ms) == (expected.steps, expected.last_time_ms), (user, time_ms)
        np.testing.assert_allclose(found[at], expected.representation, atol=1e-6, err_msg=f"{user} at {time_ms}")


moments = st.integers(1, 6).map(lambda second: 10**12 + second * 1000)  # few, so that many are equal
ids = st.sampled_from([f"id-{number}" for number in range(12)])  # few, so that ids come again


def records_with(ids_of_a_record: st.SearchStrategy[tuple[str, ...]]) -> st.SearchStrategy[list[Given]]:
    items = st.integers(1, 13)  # the last are not in the catalogue
    record = st.builds(Given, st.sampled_from(USERS), ids_of_a_record, items, moments, moments)
    return st.lists(record, max_size=40)


@settings(max_examples=EXAMPLES)
@given(records=records_with(st.lists(ids, max_size=3).map(tuple)))
def test_an_archive_gives_the_rows_of_the_stream(records: list[Given], bundle: Bundle) -> None:
    check(records, records, True, bundle, Stepper(bundle))


@settings(max_examples=EXAMPLES)
@given(records=records_with(st.tuples(ids)))
def test_a_log_gives_the_rows_of_a_stream_in_order_of_time(records: list[Given], bundle: Bundle) -> None:
    records = [one._replace(time_ms=one.moment_ms) for one in records]
    check(records, sorted(records, key=lambda one: one.moment_ms), False, bundle, Stepper(bundle))


def views(*ids: str, user: str = "anna") -> list[Given]:
    return [Given(user, (event_id,), 1 + at % 12, 10**12 + at, 10**12 + at) for at, event_id in enumerate(ids)]


@pytest.mark.parametrize(("between", "applied"), [(7, 8), (8, 10)])
def test_an_id_is_remembered_for_eight_records(between: int, applied: int, bundle: Bundle) -> None:
    records = views("again", *(f"other-{at}" for at in range(between)), "again")
    labels = np.zeros(1, LABEL)
    labels["user"], labels["time_ms"] = user_keys(["anna"]), 10**13
    _, seen = lives_of(rows_of(records, bundle), labels, by_arrival=False)
    assert seen.steps.tolist() == [applied]
    check(records, records, False, bundle, Stepper(bundle))


def test_a_partition_follows_the_partition_that_the_user_had_before(bundle: Bundle) -> None:
    """Partitions were added: the user's records moved from partition 3 to partition 1."""
    records = views(*(f"id-{at}" for at in range(20)))
    rows = rows_of(records, bundle)
    rows["partition"] = np.where(np.arange(20) < 12, 3, 1)
    labels = np.zeros(2, LABEL)
    labels["user"], labels["time_ms"] = user_keys(["anna", "anna"]), (10**12 + 5, 10**12 + 15)
    of_one, seen_of_one = lives_of(rows, labels, by_arrival=True)
    in_file_order = np.concatenate([rows[12:], rows[:12]])  # an archive is read partition after partition
    of_two, seen_of_two = lives_of(in_file_order, labels, by_arrival=True)
    assert seen_of_two.steps.tolist() == seen_of_one.steps.tolist() == [5, 15]
    np.testing.assert_array_equal(of_two.inputs.item, of_one.inputs.item)


def test_a_repeat_takes_no_record_of_the_same_number_in_another_partition_away(bundle: Bundle) -> None:
    records = views("a", "a", "b")
    rows = rows_of(records, bundle)
    rows["partition"], rows["record"] = (0, 0, 1), (4, 5, 5)
    labels = np.zeros(1, LABEL)
    labels["user"], labels["time_ms"] = user_keys(["anna"]), 10**13
    assert lives_of(rows, labels, by_arrival=True)[1].steps.tolist() == [2]
