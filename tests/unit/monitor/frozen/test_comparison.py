"""Frozen ranks on the simulated shop: against the ranks of the bundle's own graph, and what a live state is worth."""

from collections import Counter

import msgspec
import numpy as np
import pytest

from export.runtime.bundle import Bundle
from export.runtime.stepper import Stepper
from streams.contracts.evaluation_events import EvaluationEvent
from streams.contracts.representation_updates import RepresentationUpdate
from streams.demo import shop
from streams.monitor.frozen import comparison
from streams.monitor.frozen.comparison import FrozenComparison
from streams.monitor.frozen.users import FrozenUsers
from streams.monitor.scoring.bundle_scoreboards import BundleScoreboards
from tests.support.monitoring.simulated_stream import Record, scored, simulated_stream

EVENTS = 40_000


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.load(shop.BUNDLE)


@pytest.fixture(scope="module")
def batches(bundle: Bundle) -> list[tuple[list[Record], list[Record]]]:
    """The evaluation records and the updates of each batch of a small run."""
    return list(scored(simulated_stream(1, "none", events=EVENTS).records, bundle))


def test_the_ranks_are_those_of_the_bundles_graph(
    bundle: Bundle, batches: list[tuple[list[Record], list[Record]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    stepper, frozen = Stepper(bundle, on_cpu=True), FrozenComparison(bundle)
    found, wanted = [], []
    monkeypatch.setattr(FrozenUsers, "frozen", lambda self, user_id, _: [self.live(user_id), None])
    for evaluations, updates in batches[:10]:
        for record in evaluations:
            event = msgspec.json.decode(record.value, type=EvaluationEvent)
            query = frozen._users.live(event.user_id)
            if query is not None and event.steps:
                found += [rank.rank for rank in frozen.ranks(event)]
                item = bundle.item_index.get(event.item_id, 0)
                wanted.append(int(stepper.rank(query[None], np.array([item]))[0]))
        for record in updates:
            frozen.update(msgspec.json.decode(record.value, type=RepresentationUpdate))
    assert len(wanted) > 1_000
    differ = sum(a != b for a, b in zip(found, wanted, strict=True))
    assert differ <= 2, "sums in another order may move a rank among near ties"


def test_a_live_state_ranks_better_than_an_old_one_and_drifts_away_from_it(
    bundle: Bundle, batches: list[tuple[list[Record], list[Record]]]
) -> None:
    boards, frozen, ended = BundleScoreboards(600_000, 5_000), FrozenComparison(bundle), []
    for evaluations, updates in batches:
        ended += boards.observe(evaluations, frozen)
        for record in updates:
            boards.update(record, frozen)
    ended += boards.advance(10**15)
    events: Counter[str] = Counter()
    gain: Counter[str] = Counter()
    distance: Counter[str] = Counter()
    for metrics in ended:
        for name, compared in metrics.compared.items():
            model, other = compared.model["mrr@20"], metrics.metrics[name]["mrr@20"]
            assert model is not None
            assert other is not None
            events[name] += compared.events
            gain[name] += (model - other) * compared.events
            distance[name] += (compared.distance or 0.0) * compared.events
    assert set(events) == {"frozen_1h", "frozen_1d"}
    means = {name: gain[name] / events[name] for name in events}
    assert means["frozen_1d"] > means["frozen_1h"] > 0.05
    assert distance["frozen_1d"] / events["frozen_1d"] > distance["frozen_1h"] / events["frozen_1h"] > 0.01
    assert set(ended[-1].metrics) == {"model", "popularity", "last_item", "frozen_1h", "frozen_1d"}


def test_an_update_that_does_not_fit_the_bundle_is_refused_and_its_user_can_still_be_ranked(
    bundle: Bundle, batches: list[tuple[list[Record], list[Record]]]
) -> None:
    boards, frozen = BundleScoreboards(600_000, 5_000), FrozenComparison(bundle)
    good = next(record for _, updates in batches for record in updates)
    update = msgspec.json.decode(good.value, type=RepresentationUpdate)
    strange = np.full(bundle.manifest.recent_places, len(bundle.item_index) + 1, np.int32).tobytes()
    for changes in (
        {"representation": update.representation[:-8]},
        {"representation": update.representation * 2},
        {"recent_items": None},
        {"recent_items": strange},
    ):
        value = msgspec.json.encode(msgspec.structs.replace(update, **changes))
        boards.update(good._replace(value=value), frozen)
    assert boards.snapshot().undecodable == 4
    assert frozen._users.live(update.user_id) is None
    boards.update(good, frozen)
    assert boards.snapshot().undecodable == 4
    assert frozen._users.live(update.user_id) is not None


def test_a_large_catalogue_ranks_a_share_of_the_events(
    bundle: Bundle, batches: list[tuple[list[Record], list[Record]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "ITEMS_RANKED", bundle.manifest.items // 10)
    frozen, events, ranked = FrozenComparison(bundle), 0, 0
    for evaluations, updates in batches[:10]:
        for record in evaluations:
            event = msgspec.json.decode(record.value, type=EvaluationEvent)
            events += bool(event.steps)
            ranked += len(frozen.ranks(event)) > 0
        for record in updates:
            frozen.update(msgspec.json.decode(record.value, type=RepresentationUpdate))
    assert 0.07 < ranked / events < 0.13
