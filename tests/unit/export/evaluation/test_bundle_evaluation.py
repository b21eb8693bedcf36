"""Offline evaluation of a bundle: held against one event at a time, by hand."""

import json
from html import escape
from pathlib import Path

import numpy as np
import pytest

from encoder.data.event_log import EventLog
from encoder.errors import InputError
from encoder.metrics.leakage import find_leak, leak_warning, leak_warnings
from export.evaluation import perturbation, representations
from export.evaluation.bootstrap import difference, gains, intervals, resampled_means
from export.evaluation.bundle_evaluation import evaluate_bundle, predicted
from export.evaluation.explanation import explain
from export.evaluation.freshness import seen_before
from export.evaluation.heads import recent_events
from export.evaluation.perturbation import Perturbed, perturb
from export.evaluation.recommendation_lists import describe_lists, top_items
from export.evaluation.report.page import page
from export.evaluation.scored_events import ScoredEvents, gaps_ms
from export.evaluation.slices import slices
from export.runtime.bundle import Bundle
from export.runtime.inputs import StepInputs
from export.runtime.stepper import Stepper
from tests.support.bundles import tiny_bundle
from tests.support.logs import event_log
from tests.support.random_log import ITEMS, random_log


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundle") / "one", items=ITEMS, width=16)


@pytest.fixture(scope="module")
def stepper(bundle: Bundle) -> Stepper:
    return Stepper(bundle)


def one_by_one(
    bundle: Bundle, stepper: Stepper, events: list[tuple[int, int, int]]
) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    """Representations before and after each (item, action, time in ms), as a worker steps them."""
    state, last = bundle.initial_state[None], None
    found = [bundle.initial_representation]
    for item, action, time_ms in events:
        gap_ms = -1 if last is None else max(0, time_ms - last)
        last = time_ms if last is None else max(last, time_ms)
        integers = (np.array([value], np.int64) for value in (item, action, gap_ms))
        state, after = stepper.step(StepInputs(*integers, features={}), state)
        found.append(after[0])
    return found


def ranks_one_by_one(bundle: Bundle, stepper: Stepper, log: EventLog) -> list[int]:
    """Rank of every event of the log, in its order."""
    users: dict[str, list[tuple[int, int, int]]] = {}
    ranks = []
    for event in log.events():
        past = users.setdefault(event.user_id, [])
        item = bundle.item_index.get(event.item_id, 0)
        representation = one_by_one(bundle, stepper, past)[-1]
        ranks.append(int(stepper.rank(representation[None], np.array([item]))[0]))
        past.append((item, bundle.action_index.get(event.action, 0), event.event_time_ms))
    return ranks


def live_ranks(bundle: Bundle, stepper: Stepper, scored: ScoredEvents) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    of = (scored.sequences, scored.users, scored.steps, scored.item)
    return representations.ranks(bundle, stepper, *of)


def test_heads_are_scored_by_what_the_graph_says_before_and_after_each_event(bundle: Bundle, stepper: Stepper) -> None:
    history, log = random_log(users=120).split(0.3)
    scored = ScoredEvents.of(log, bundle.vocabulary, history)
    ranks, foreseen = predicted(bundle, stepper, scored)
    assert np.array_equal(ranks, live_ranks(bundle, stepper, scored))
    sequences, actions = scored.sequences, scored.sequences.action[scored.target]
    for user in range(len(scored.user_ids)):
        own = slice(int(sequences.starts[user]), int(sequences.starts[user + 1]))
        events = zip(sequences.item[own].tolist(), sequences.action[own].tolist(), scored.time_ms[own], strict=True)
        said = one_by_one(bundle, stepper, [(item, action, int(time_ms)) for item, action, time_ms in events])
        _, action, mixture = stepper.predict(np.stack(said), np.zeros(len(said), np.int64))
        for at in np.flatnonzero(scored.users == user).tolist():
            step = int(scored.steps[at])
            np.testing.assert_allclose(foreseen.action[at], action[step], rtol=1e-5)
            np.testing.assert_allclose(foreseen.before[at], mixture[step], rtol=1e-5)
            np.testing.assert_allclose(foreseen.after[at], mixture[step + 1], rtol=1e-5)

    result = evaluate_bundle(bundle, log, history)
    heads, warm = result["heads"], scored.steps > 0
    right = foreseen.action[:, 1:].argmax(axis=1) + 1 == actions
    assert heads["action"]["all"]["accuracy"] == right.mean()
    assert heads["action"]["warm"]["accuracy"] == right[warm].mean()
    assert heads["action"]["cold"]["n"] == int((~warm).sum()) > 0
    assert heads["time"]["n"] == result["metrics"]["warm"]["n"]
    assert list(heads["churn"]) == ["1d", "7d"], "14 days are scored: a silence of 30 cannot have been seen"
    end_ms = int(log.time_ms.max())
    for horizon, of in heads["churn"].items():
        assert of["n"] == int((log.time_ms + int(horizon[:-1]) * 86_400_000 <= end_ms).sum())
    cold = result["slices"]["user"]["cold (first event)"]
    assert (cold["action_accuracy"], cold["time_log_likelihood"]) == (right[~warm].mean(), None)
    assert result["slices"]["user"]["warm"]["time_log_likelihood"] == pytest.approx(heads["time"]["log_likelihood"])
    assert cold["popularity"]["mrr@20"] == result["baselines"]["popularity"]["cold"]["mrr@20"]


def test_recent_events_are_counted_up_to_each_scored_one(bundle: Bundle) -> None:
    history, log = random_log().split(0.3)
    scored = ScoredEvents.of(log, bundle.vocabulary, history)
    within_ms = 3 * 86_400_000
    for at, found in zip(scored.target.tolist(), recent_events(scored, within_ms).tolist(), strict=True):
        own = scored.time_ms[int(scored.sequences.starts[scored.user[at]]) : at + 1]
        assert found == int((own >= own[-1] - within_ms).sum())


def test_before_any_event_the_model_ranks_by_the_prior(bundle: Bundle, stepper: Stepper) -> None:
    log = event_log([(f"u{i}", f"item-{i + 1}", "view", 10**12 + i) for i in range(ITEMS)])
    _, prior = stepper.predict(np.tile(bundle.initial_representation, (2, 1)), np.zeros(2, np.int64))[:2]
    found, foreseen = predicted(bundle, stepper, ScoredEvents.of(log, bundle.vocabulary))
    assert sorted(found.tolist()) == list(range(1, ITEMS + 1)), "one list for all"
    np.testing.assert_allclose(foreseen.action, np.tile(prior[0], (ITEMS, 1)), rtol=1e-6)


@pytest.mark.parametrize("events_at_once", [1, 50, 10**6])
def test_ranks_are_those_of_one_event_after_another(
    bundle: Bundle, stepper: Stepper, events_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(representations, "EVENTS", events_at_once)
    log = random_log()
    scored = ScoredEvents.of(log, bundle.vocabulary)
    found = np.zeros(len(log), np.int64)
    found[scored.row] = live_ranks(bundle, stepper, scored)
    assert found.tolist() == ranks_one_by_one(bundle, stepper, log)
    assert (found == 0).any()


def test_history_is_stepped_and_not_scored(bundle: Bundle, stepper: Stepper) -> None:
    whole = random_log()
    history, log = whole.split(0.6)
    scored = ScoredEvents.of(log, bundle.vocabulary, history)
    found = np.zeros(len(log), np.int64)
    found[scored.row] = live_ranks(bundle, stepper, scored)
    assert found.tolist() == ranks_one_by_one(bundle, stepper, whole)[len(history) :]
    with pytest.raises(InputError, match="history reaches to"):
        ScoredEvents.of(history, bundle.vocabulary, log)


def test_gaps_are_a_workers_also_for_late_events() -> None:
    user = np.array([0, 0, 0, 0, 3, 3])
    time_ms = np.array([50, 90, 70, 95, 10, 10])
    assert gaps_ms(user, time_ms).tolist() == [-1, 40, 0, 5, -1, 0]


@pytest.mark.parametrize("kind", list(perturbation.PERTURBATIONS))
def test_states_see_exactly_the_disturbed_history(bundle: Bundle, stepper: Stepper, kind: str) -> None:
    scored = ScoredEvents.of(random_log(120, 6), bundle.vocabulary)
    chosen = np.random.default_rng(perturbation.SEED).random(len(scored.user)) < 0.4
    perturbed = perturb(scored, kind, 0.4, ITEMS)
    got = representations.ranks(bundle, stepper, perturbed.sequences, scored.users, perturbed.seen, scored.item)
    sequences, expected = scored.sequences, []
    items = perturbed.sequences.item if kind == "replaced" else sequences.item
    for at in scored.target.tolist():
        past: list[tuple[int, int, int]] = []
        begin = int(sequences.starts[scored.user[at]])
        late: tuple[int, int, int] | None = None
        for p in range(begin, at):
            event = (int(items[p]), int(sequences.action[p]), int(scored.time_ms[p]))
            if kind == "shuffled" and chosen[p]:
                if late:  # one late event after another: the earlier one arrives first
                    past.append(late)
                late = event
                continue
            past += [event] * ({"dropped": 0, "duplicated": 2}.get(kind, 1) if chosen[p] else 1)
            if late:
                past.append(late)
                late = None
        representation = one_by_one(bundle, stepper, past)[-1]
        expected.append(int(stepper.rank(representation[None], scored.item[scored.target == at])[0]))
    assert got.tolist() == expected
    changed = int((items != sequences.item).sum()) if kind == "replaced" else int(chosen.sum())
    assert changed > 20


def test_nothing_chosen_disturbs_nothing(bundle: Bundle) -> None:
    scored = ScoredEvents.of(random_log(), bundle.vocabulary)
    for kind in perturbation.PERTURBATIONS:
        perturbed: Perturbed = perturb(scored, kind, 0.0, ITEMS)
        assert np.array_equal(perturbed.seen, scored.steps)
        for name in ("starts", "item", "action", "gap_ms"):
            assert np.array_equal(getattr(perturbed.sequences, name), getattr(scored.sequences, name)), (kind, name)


def test_a_frozen_state_has_seen_what_is_old_enough(bundle: Bundle) -> None:
    scored = ScoredEvents.of(random_log(), bundle.vocabulary)
    lag_ms = 3 * 86_400_000
    for at, seen in zip(scored.target.tolist(), seen_before(scored, lag_ms).tolist(), strict=True):
        begin = int(scored.sequences.starts[scored.user[at]])
        assert seen == sum(scored.time_ms[begin:at] <= scored.time_ms[at] - lag_ms)


def test_resampling_is_of_users_and_seeded() -> None:
    draw = np.random.default_rng(1)
    user, ranks = draw.integers(0, 40, 500), draw.integers(0, 60, 500)
    means = resampled_means(user, gains(ranks), seed=3, resamples=200)
    assert np.array_equal(means, resampled_means(user, gains(ranks), seed=3, resamples=200))
    by_hand = np.random.default_rng(3)
    drawn = by_hand.integers(len(np.unique(user)), size=(200, len(np.unique(user))))
    names = np.unique(user)
    for row in (0, 7, 199):
        events = np.concatenate([np.flatnonzero(user == names[u]) for u in drawn[row]])
        np.testing.assert_allclose(means[row], gains(ranks)[events].mean(axis=0))


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Users differ, so an interval over events would be too narrow: about 60% here."""
    draw = np.random.default_rng(0)
    inside = 0
    for _ in range(100):
        rate = draw.beta(1, 1, 60)  # of each user: the mean is .5
        ranks = np.where(draw.random((60, 20)) < rate[:, None], 1, 0).ravel()
        low, high = intervals(np.repeat(np.arange(60), 20), ranks)["recall@20"] or (0, 0)
        inside += low <= 0.5 <= high
    assert 88 <= inside <= 99


def test_a_difference_is_significant_where_there_is_one() -> None:
    draw = np.random.default_rng(2)
    user = np.repeat(np.arange(100), 5)
    ranks = draw.integers(1, 60, 500)
    same = difference(user, ranks, ranks)["recall@20"]
    assert (same["difference"], same["interval"], same["p"]) == (0.0, [0.0, 0.0], 1.0)
    better = difference(user, np.maximum(1, ranks - 20), ranks)["recall@20"]
    assert better["difference"] > 0.2
    assert better["interval"][0] > 0
    assert better["p"] == pytest.approx(2 / 1001)
    assert difference(user, ranks, draw.permutation(ranks))["mrr@20"]["p"] > 0.05


def test_top_items_are_the_best_of_the_catalogue(bundle: Bundle) -> None:
    found = np.random.default_rng(0).normal(size=(5, bundle.manifest.representation_width)).astype(np.float32)
    best = np.argsort(-(found @ bundle.item_vectors[1:].T), axis=1)[:, :20] + 1
    assert np.array_equal(np.sort(top_items(found, bundle.item_vectors)), np.sort(best))


def test_lists_say_how_much_and_how_popular(bundle: Bundle, stepper: Stepper) -> None:
    scored = ScoredEvents.of(random_log(), bundle.vocabulary)
    popularity = np.arange(ITEMS, -1, -1) ** 2
    popularity[0] = 0
    lists = describe_lists(bundle, stepper, scored, popularity)
    shown: list[int] = []
    for _, found in representations.representations(bundle, stepper, scored.sequences, scored.users, scored.steps):
        shown += (np.argsort(-(found @ bundle.item_vectors[1:].T), axis=1)[:, :20] + 1).ravel().tolist()
    known = scored.item[scored.item > 0].tolist()
    assert lists["lists"] * 20 == len(shown)
    assert lists["coverage"] == len(set(shown)) / ITEMS
    for name, items in (("recommended", shown), ("actual", known)):
        assert lists[f"percentile_{name}"] == pytest.approx(np.mean([(ITEMS - item) / (ITEMS - 1) for item in items]))
        assert lists[f"arp_{name}"] == pytest.approx(np.mean([popularity[item] for item in items]))


def test_slices_by_the_edges(bundle: Bundle) -> None:
    times_ms = np.cumsum([0, 0, 59_999, 60_000, 3_599_999, 3_600_000, 86_399_999, 86_400_000])
    items = ["item-1", "item-6", "item-7", "item-60", "new", "item-1", "item-1", "item-1"]
    log = event_log([("u", item, "view", 10**12 + int(t)) for item, t in zip(items, times_ms, strict=True)])
    scored = ScoredEvents.of(log, bundle.vocabulary)
    found = {
        (group, label): np.flatnonzero(mask).tolist()
        for group, label, mask in slices(scored, bundle.vocabulary.actions, ITEMS)
    }
    assert found == {
        ("user", "cold (first event)"): [0],
        ("user", "warm"): [1, 2, 3, 4, 5, 6, 7],
        ("events of history", "1-2"): [1, 2],
        ("events of history", "3-5"): [3, 4, 5],
        ("events of history", "6-10"): [6, 7],
        ("state age", "under 1 min"): [1, 2],
        ("state age", "under 1 h"): [3, 4],
        ("state age", "under 1 day"): [5, 6],
        ("state age", "1 day and more"): [7],
        ("item", "known"): [0, 1, 2, 3, 5, 6, 7],
        ("item", "unseen (always a miss)"): [4],
        ("item popularity decile", "1 (most popular)"): [0, 1, 5, 6, 7],
        ("item popularity decile", "2"): [2],
        ("item popularity decile", "10 (least popular)"): [3],
        ("action", "view"): list(range(8)),
    }


def test_events_not_later_than_training_are_a_leak() -> None:
    log = random_log()
    data = {"last_ms": int(log.time_ms[99])}
    leak = find_leak(log, data)
    assert (leak["not_later"], leak["share"]) == (100, 0.25)
    assert "LEAK: 100 of the scored events (25.0%)" in str(leak_warning(leak, "gru-1"))
    assert "of gru-1" in str(leak_warning(leak, "gru-1"))
    assert leak_warning(find_leak(log[100:], data), "gru-1") is None
    assert "UNCHECKED: gru-1" in str(leak_warning(find_leak(log, {}), "gru-1"))


def test_the_page_names_the_bundle_that_leaks(bundle: Bundle, tmp_path: Path) -> None:
    log = random_log()
    other = tiny_bundle(tmp_path / "other", items=ITEMS - 10, width=16, seed=1)
    result = evaluate_bundle(bundle, log, compare=other)
    result["leak"] = find_leak(log, {"last_ms": 0})
    result["compare"]["leak"] = find_leak(log, {"last_ms": int(log.time_ms[99])})
    (text,) = leak_warnings(result)
    assert "LEAK: 100 of" in text
    assert f"of {other.bundle_id}" in text
    assert page(result).count(f'<p class="leak">{escape(text)}</p>') == 1


def test_an_evaluation_is_json_and_a_page_of_its_own(bundle: Bundle, tmp_path: Path) -> None:
    other = tiny_bundle(tmp_path / "other", items=ITEMS - 10, width=16, seed=1)
    history, log = random_log().split(0.05)
    result = evaluate_bundle(bundle, log, history, compare=other, is_robustness_wanted=True, is_freshness_wanted=True)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    metrics = result["metrics"]
    assert metrics["warm"]["n"] + metrics["cold"]["n"] == metrics["all"]["n"] == len(log) == result["events"]
    for group, labels in result["slices"].items():
        total = sum(of["n"] for of in labels.values())
        known = result["slices"]["item"]["known"]["n"]
        warm = metrics["warm"]["n"]
        wanted = {"item popularity decile": known, "state age": warm, "events of history": warm}.get(group, len(log))
        assert total == wanted, group
    assert result["slices"]["item"]["unseen (always a miss)"]["recall@20"] == 0
    assert result["robustness"]["dropped"]["0"]["recall@20"] == metrics["warm"]["recall@20"]
    assert result["freshness"]["live"] == metrics["warm"]
    compared = result["compare"]
    assert compared["metrics"] == evaluate_bundle(other, log, history)["metrics"]
    for name in ("recall@20", "mrr@20"):
        for part in ("all", "warm"):
            less = metrics[part][name] - compared["metrics"][part][name]
            assert compared["difference"][part][name]["difference"] == pytest.approx(less)
        for lag, of in result["freshness"]["frozen"].items():
            less = metrics["warm"][name] - of["all"][name]
            assert of["gain"][name]["difference"] == pytest.approx(less), lag
            assert of["older"]["live"]["n"] == of["older"]["frozen"]["n"] == of["with_state"] <= metrics["warm"]["n"]
    assert of["with_state"] < metrics["warm"]["n"] < len(log)  # a week: some have nothing so old
    assert compared["difference"]["all"]["n"] == len(log)
    assert result["compare"]["difference"]["known_to_both"]["n"] < result["slices"]["item"]["known"]["n"]
    text = page(result)
    assert "<svg" in text
    for outside in ("http:", "https:", "src=", "href=", "@import", "url("):
        assert outside not in text


def test_an_evaluation_without_warm_events(bundle: Bundle) -> None:
    log = event_log([(f"u{i}", "item-1", "view", 10**12 + i) for i in range(5)])
    result = evaluate_bundle(bundle, log, is_robustness_wanted=True, is_freshness_wanted=True)
    json.dumps(result, allow_nan=False)
    assert result["metrics"]["warm"]["recall@20"] is None
    assert "<svg" in page(result)


def test_an_explanation_is_the_history_without_the_event(bundle: Bundle, stepper: Stepper) -> None:
    log = random_log(90, 3)
    found = explain(bundle, stepper, log, "u1")
    events = [
        (bundle.item_index.get(e.item_id, 0), bundle.action_index.get(e.action, 0), e.event_time_ms)
        for e in log.events()
        if e.user_id == "u1"
    ]
    whole = one_by_one(bundle, stepper, events)[-1]
    assert found.rank == 1
    assert len(found.event) == len(events) > 10
    for i in range(len(events)):
        without = one_by_one(bundle, stepper, events[:i] + events[i + 1 :])[-1]
        np.testing.assert_allclose(found.moved_l2[i], np.linalg.norm(whole - without), atol=1e-5)
        cosine = 1 - whole @ without / np.linalg.norm(whole) / np.linalg.norm(without)
        np.testing.assert_allclose(found.moved_cosine[i], cosine, atol=1e-5)
        np.testing.assert_allclose(found.score_without[i], without @ bundle.item_vectors[found.item], atol=1e-5)
        assert found.rank_without[i] == stepper.rank(without[None], np.array([found.item]))[0]
    with pytest.raises(InputError, match="user 'nobody' has no event"):
        explain(bundle, stepper, log, "nobody")
    with pytest.raises(InputError, match="item 'no-item' is not in the catalogue"):
        explain(bundle, stepper, log, "u1", "no-item")
