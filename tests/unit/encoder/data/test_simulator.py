"""The simulated shop: its events are reproducible and resemble those of a shop, and its ceiling is right."""

import argparse
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from encoder.commands import simulate
from encoder.data.events import BehaviorEvent
from encoder.data.loaders import load_log
from encoder.data.simulator import Shop, Simulation, ceiling, faulty_records
from encoder.data.simulator.churn import DECLINE_DAYS, kept_events
from encoder.data.simulator.oracle import next_item_distribution, previous_rows
from encoder.data.simulator.rules import PROMOTION
from encoder.data.simulator.shop import END
from encoder.errors import InputError

EVENTS = 40_000


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop(seed=7, items=600, users=800)


@pytest.fixture(scope="module")
def simulation(shop: Shop) -> Simulation:
    return shop.run(EVENTS)


def test_the_same_seed_gives_the_same_bytes() -> None:
    def stream(seed: int) -> list[tuple[bytes, bytes]]:
        return list(faulty_records(Shop(seed, items=100, users=50).simulate(1_000), 0.1, 0.1, 0.1, seed))

    assert stream(3) == stream(3)
    assert stream(3) != stream(4)


def test_a_simulated_log_is_valid(simulation: Simulation) -> None:
    log = simulation.log
    assert len(log) == EVENTS
    assert (np.diff(log.time_ms) >= 0).all()
    assert log.time_ms[-1] < END.timestamp() * 1000
    assert log.item_names is not None
    assert len(set(log.item_names.values())) == 600
    assert (log.price > 0).all()


def test_no_event_of_an_item_comes_before_the_item_was_first_seen(shop: Shop, simulation: Simulation) -> None:
    log, items = simulation.log, shop.item_list(simulation)
    assert items["item_id"] == log.item_ids
    seen_ms = np.array(items["first_seen_ms"])
    assert (log.time_ms >= seen_ms[log.item]).all()
    assert (seen_ms > seen_ms.min()).sum() == (shop.catalogue.born > 0).sum() > 30
    assert items["category"] == [log.categories[code] for code in shop.catalogue.category]
    assert [log.item_names[item] for item in items["item_id"]] == items["name"] if log.item_names else False


def test_sessions_of_a_user_do_not_overlap(simulation: Simulation) -> None:
    log = simulation.log
    before = previous_rows(log)
    assert log.session is not None
    session = log.session.codes
    rows = np.flatnonzero(before >= 0)
    changes = rows[session[rows] != session[before[rows]]]
    assert len(np.unique(session)) == len(changes) + len(np.unique(log.user))  # the events of a session are consecutive
    assert (log.time_ms[changes] - log.time_ms[before[changes]]).min() >= 1_799_000


def test_users_go_from_views_over_clicks_and_carts_to_purchases(simulation: Simulation) -> None:
    log = simulation.log
    view, click, cart, purchase = np.bincount(log.action).tolist()
    assert view > click > purchase
    assert cart > purchase > 0
    before = previous_rows(log)
    bought = np.flatnonzero(log.action == 3)
    assert (log.item[bought] == log.item[before[bought]]).all()
    assert (log.action[before[bought]] == 2).all()


def test_new_items_appear_and_the_promotion_shifts_demand(shop: Shop, simulation: Simulation) -> None:
    born = shop.catalogue.born
    assert (born > 0).sum() > 30
    assert (born[simulation.log.item] <= simulation.session_time).all()
    promoted = np.isin(simulation.log.item, shop.catalogue.promotion.value)
    during = (simulation.session_time >= PROMOTION[0]) & (simulation.session_time < PROMOTION[1])
    assert promoted[during].mean() > 1.5 * promoted[~during].mean()


def test_users_visit_at_their_usual_hour(shop: Shop, simulation: Simulation) -> None:
    hour = (simulation.log.time_ms / 3_600_000) % 24
    apart = np.abs(hour - shop.population.hour[simulation.log.user] % 24)
    assert (np.minimum(apart, 24 - apart) < 4).mean() > 0.9


def test_users_who_leave_have_fewer_and_shorter_sessions_before(simulation: Simulation) -> None:
    day_ms = 86_400_000
    assert np.array_equal(
        Shop(seed=7, items=600, users=800, churn=0.0).simulate(EVENTS).time_ms, simulation.log.time_ms
    )
    loyal, leaving = (Shop(seed=7, items=600, users=300, days=90, churn=churn).simulate(EVENTS) for churn in (0, 0.5))
    assert len(leaving) == EVENTS
    silence_days = []
    for log in (loyal, leaving):
        last_ms = np.zeros(300, np.int64)
        np.maximum.at(last_ms, log.user, log.time_ms)
        silence_days.append((log.time_ms[-1] - last_ms) / day_ms)
    assert (silence_days[0] > 21).mean() < 0.15
    assert 0.25 < (silence_days[1] > 21).mean() < 0.6

    count, gone_s = 20_000, 60 * day_ms / 1000
    before_days = np.random.default_rng(0).uniform(-10, 42, count)
    nobody = np.zeros(count, np.int64)
    start_s = gone_s - before_days * day_ms / 1000
    kept = kept_events(nobody, start_s, np.full(count, 10), np.array([gone_s]), np.random.default_rng(1))
    assert (kept[before_days > DECLINE_DAYS] == 10).all()
    assert (kept[before_days < 0] == 0).all()
    week = (before_days > 6.5) & (before_days < 7.5)  # a third of the decline is left
    assert (kept[week] > 0).mean() == pytest.approx(1 / 3, abs=0.08)
    assert set(kept[week]) == {0, 4}
    assert (kept_events(nobody, start_s, np.full(count, 10), np.array([np.inf]), np.random.default_rng(1)) == 10).all()


def test_the_oracle_knows_the_true_distribution(shop: Shop, simulation: Simulation) -> None:
    """The probabilities sum to 1, and events happen as often as predicted (mean calibration within 4 sigma)."""
    before = previous_rows(simulation.log)
    rows = np.flatnonzero(before >= 0)[::12]
    probability = next_item_distribution(shop, simulation, rows, before[rows])
    np.testing.assert_allclose(probability.sum(axis=1), 1.0, atol=1e-9)
    own = simulation.log.item[rows]
    top = np.argsort(-probability, axis=1, kind="stable")
    for first, last in ((0, 1), (1, 3), (3, 10), (10, 20), (20, 100), (100, 600)):
        predicted = np.take_along_axis(probability, top[:, first:last], axis=1).sum(axis=1)
        happened = (top[:, first:last] == own[:, None]).any(axis=1)
        sigma = np.sqrt((predicted * (1 - predicted)).sum()) / len(rows)
        assert abs(predicted.mean() - happened.mean()) < 4 * sigma, (first, last)


def test_the_ceiling_is_above_the_baselines(shop: Shop, simulation: Simulation) -> None:
    scores = ceiling(shop, simulation, sample=2_000)
    oracle, last_item, popularity = (scores[name] for name in ("oracle", "last_item", "popularity"))
    assert oracle.recall_at_20 > 1.3 * last_item.recall_at_20 > 1.3 * popularity.recall_at_20
    assert oracle.recall_at_20 < 0.85
    assert oracle.events == last_item.events >= 2_000


def test_faulty_records_add_up_and_every_event_is_among_them(simulation: Simulation) -> None:
    log = simulation.log[:2_000]
    ids = [event.event_id for event in log.events()]
    good: list[BehaviorEvent] = []
    broken: list[bytes] = []
    for key, value in faulty_records(log, late=0.05, duplicate=0.02, malformed=0.03, seed=1):
        try:
            event = msgspec.json.decode(value, type=BehaviorEvent)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            broken.append(value)
            continue
        assert event.user_id.encode() == key
        if event.action and 0 <= event.event_time_ms < END.timestamp() * 1000:
            good.append(event)
        else:
            broken.append(value)
    assert (len(good), len(broken)) == (2_040, 60)
    assert {event.event_id for event in good} == set(ids)
    assert not any(b"\n" in value for value in broken)
    times = np.array([event.event_time_ms for event in good])
    assert 50 < (np.maximum.accumulate(times) > times).sum() < 250


def test_without_faults_the_records_are_the_log(simulation: Simulation) -> None:
    log = simulation.log[:500]
    assert [msgspec.json.decode(v, type=BehaviorEvent) for _, v in faulty_records(log)] == list(log.events())


def test_the_command_writes_a_log_that_can_be_loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    simulate.add_arguments(parser)
    out = tmp_path / "log.jsonl"
    counts = ["--events", "3000", "--users", "100", "--items", "100", "--duplicate", "0.01", "--malformed", "0.02"]
    assert simulate.run(parser.parse_args([*counts, "--oracle", "--out", str(out)])) == 0
    log, report = load_log(out)
    assert (report.kept, report.duplicates, report.unparsable) == (3_000, 30, 60)
    expected = Shop(seed=7, items=100, users=100).simulate(3_000)
    assert sorted(log.events(), key=lambda e: e.event_id) == sorted(expected.events(), key=lambda e: e.event_id)
    assert "oracle (the ceiling)" in capsys.readouterr().out


def test_a_log_spans_at_most_the_given_days_and_the_help_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    for events in (500, 20_000):
        time_ms = Shop(seed=7, items=100, users=300, days=7).simulate(events).time_ms
        assert time_ms[-1] - time_ms[0] < 7 * 86_400_000
    parser = argparse.ArgumentParser()
    simulate.add_arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    assert "most days that the log spans" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("counts", [{"items": 3}, {"users": 0}, {"seed": -1}, {"churn": 2}])
def test_impossible_shops_are_refused(counts: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="of a simulated shop: give a"):
        Shop(**counts)


def test_impossible_shares_are_refused(simulation: Simulation) -> None:
    with pytest.raises(InputError, match=r"late share 1\.5"):
        next(faulty_records(simulation.log, late=1.5))
    with pytest.raises(InputError, match="0 events"):
        Shop().simulate(0)
