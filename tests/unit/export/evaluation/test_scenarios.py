"""The questions of scenarios are those of their definitions, and their ranks are those of sorts."""

from pathlib import Path

import numpy as np
import pytest

from encoder.data.event_log import EventLog
from encoder.data.vocabulary import Vocabulary
from encoder.errors import InputError
from encoder.metrics.followers.companions import VISIT_GAP_MS
from encoder.metrics.hybrid.scores import HybridWeights
from encoder.metrics.ranking import mrr, recall
from export.evaluation.scenarios.cases import DAY_MS, Cases, first_times_ms, make_cases
from export.evaluation.scenarios.ranks import RANKINGS, scenario_metrics
from export.evaluation.scored_events import ScoredEvents
from export.runtime.bundle import Bundle
from export.runtime.inputs import StepInputs
from export.runtime.stepper import Stepper
from tests.support.bundles import hybrid_bundle
from tests.support.logs import event_log
from tests.support.random_log import ITEMS, random_log

NAMES = ["a", "b", "c", "d", "e"]  # with the indices 1 to 5
NIGHT = VISIT_GAP_MS


def cases_of(rows: list[tuple[str, str, str, int]], new_days: float = 1) -> tuple[ScoredEvents, dict[str, Cases]]:
    """Score the rows from the time 0 on. Earlier rows are the history."""
    log = event_log(rows)
    begin = int((log.time_ms < 0).sum())
    actions = sorted({row[2] for row in rows})
    vocabulary = Vocabulary(NAMES, actions)
    scored = ScoredEvents.from_logs(log[begin:], vocabulary, log[:begin])
    first_ms = first_times_ms([(vocabulary.item_index(log), log.time_ms)], len(NAMES))
    return scored, make_cases(scored, actions, first_ms, new_days)


def questions(scored: ScoredEvents, cases: Cases) -> list[tuple[str, str]]:
    """Return the user and the item of each question."""
    return [
        (scored.user_ids[scored.event_user[at]], NAMES[scored.sequences.item[at] - 1]) for at in cases.position.tolist()
    ]


def test_a_basket_holds_the_items_of_the_visit_from_before_the_user_first_saw_the_item() -> None:
    scored, cases = cases_of(
        [
            ("u", "a", "cart", -NIGHT - 9),  # another visit
            ("u", "b", "view", 0),
            ("u", "b", "cart", 1),
            ("u", "c", "view", 2),  # the question about c is asked here
            ("u", "d", "cart", 3),  # asked and answered at once; c is only viewed
            ("u", "c", "purchase", 4),
            ("u", "a", "purchase", 5),  # known to the user from the visit before
            ("v", "e", "purchase", 6),  # no basket yet
            ("v", "zzz", "purchase", 7),  # outside the catalogue
        ]
    )
    cart = cases["cart"]
    assert questions(scored, cart) == [("u", "c"), ("u", "d")]
    assert cart.baskets == [[2], [2]]


def test_in_a_log_without_baskets_all_items_of_a_visit_fill_the_basket() -> None:
    scored, cases = cases_of([("u", name, "view", at) for at, name in enumerate("abacd")])
    assert questions(scored, cases["cart"]) == [("u", "b"), ("u", "c"), ("u", "d")]
    assert cases["cart"].baskets == [[1], [1, 2], [3, 1, 2]]


def test_new_items_are_those_that_appeared_lately() -> None:
    rows = [
        ("w", "d", "view", -4 * DAY_MS),  # of a user whose events are not scored
        ("u", "a", "view", -3 * DAY_MS),
        ("u", "b", "view", -DAY_MS),
        ("u", "a", "view", 0),
        ("u", "c", "view", 1),
        ("v", "a", "view", 2),
        ("v", "b", "view", 3),
        ("v", "c", "view", 4),
        ("v", "d", "view", 5),
    ]
    scored, cases = cases_of(rows)
    assert questions(scored, cases["home"]) == [("u", "a"), ("u", "c"), ("v", "b"), ("v", "c"), ("v", "d")]
    assert questions(scored, cases["to_the_user"]) == [("u", "c"), ("v", "b"), ("v", "c"), ("v", "d")]
    assert questions(scored, cases["new"]) == [("u", "c"), ("v", "b"), ("v", "c")]
    assert cases["new"].candidates is not None
    assert cases["new"].candidates.tolist() == [False, False, True, True, False, False]
    scored, cases = cases_of(rows, new_days=0)
    assert questions(scored, cases["new"]) == [("u", "c"), ("v", "c")]


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return hybrid_bundle(tmp_path_factory.mktemp("hybrid") / "b", items=ITEMS, categories=5)


def busy_hours(start_ms: int) -> EventLog:
    """Return 150 random events within two hours."""
    draw = np.random.default_rng(1)
    times = start_ms + np.sort(draw.integers(0, 2 * 3_600_000, 150))
    return event_log(
        [
            (
                f"u{draw.integers(25)}",
                f"item-{draw.integers(1, ITEMS + 6)}",
                str(draw.choice(["view", "cart"])),
                int(at),
            )
            for at in times
        ]
    )


def test_hybrid_ranks_are_those_of_scores_one_event_at_a_time(hybrid: Bundle) -> None:
    history, log = random_log(300), busy_hours(10**12 + 30 * DAY_MS)
    scored, stepper = ScoredEvents.from_logs(log, hybrid.vocabulary, history), Stepper(hybrid)
    found = scenario_metrics(hybrid, stepper, scored, history, 7)
    cases = make_cases(scored, hybrid.vocabulary.actions, np.zeros(ITEMS + 1, np.int64), 7)["cart"]
    assert cases.baskets is not None
    assert len(cases.position) >= 20
    sequences, ranks, no_category = scored.sequences, [], {"category": np.zeros(1, np.int64)}
    for at, basket in zip(cases.position.tolist(), cases.baskets, strict=True):
        begin = sequences.starts[scored.event_user[at]]
        state = hybrid.initial_state[None]
        representation = hybrid.initial_representation[None]
        for place in range(begin, at):
            one = slice(place, place + 1)
            state, representation = stepper.step(
                StepInputs(sequences.item[one], sequences.action[one], sequences.gap_ms[one], no_category), state
            )
        scores = hybrid.scores(hybrid.queries(representation, state))[0]
        assert hybrid.hybrid is not None
        hybrid.hybrid.context(basket, HybridWeights(**hybrid.manifest.hybrid["cart"])).add(scores)
        item = int(sequences.item[at])
        own = set(sequences.item[begin:at].tolist()) - {0, item}
        scores[[one - 1 for one in own]] = -np.inf
        ranks.append(int((scores >= scores[item - 1]).sum()))
    shown = found["cart"]["ranked_by"]["hybrid"]
    assert (shown["recall@20"], shown["n"]) == (recall(np.array(ranks), 20), len(ranks))
    assert shown["mrr@20"] == pytest.approx(mrr(np.array(ranks), 20))
    assert set(found["home"]["ranked_by"]) == set(RANKINGS)
    assert found["home"]["difference"]["model"]["recall@20"]["difference"] == pytest.approx(
        found["home"]["ranked_by"]["hybrid"]["recall@20"] - found["home"]["ranked_by"]["model"]["recall@20"]
    )


def test_scenarios_need_a_history_and_counts(hybrid: Bundle, bundle: Bundle, tmp_path: Path) -> None:
    history, log = random_log(50), random_log(50, seed=1, start_ms=10**12 + 30 * DAY_MS)
    scored = ScoredEvents.from_logs(log, hybrid.vocabulary)
    with pytest.raises(InputError, match="give --rest, or --history LOG"):
        scenario_metrics(hybrid, Stepper(hybrid), scored, None, 7)
    with pytest.raises(InputError, match="an earlier version trained its model"):
        scenario_metrics(bundle, Stepper(bundle), scored, history, 7)
