"""What speaks against a promotion, and how the commands write numbers."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from streams.commands.bundles.command import age_text, bytes_text, rows_text
from streams.commands.bundles.evidence import RECENT_MS, Readiness, lacking_comparison, lacking_readiness
from streams.commands.bundles.standing import state_of
from streams.contracts.comparisons import BundleComparison
from streams.store.bundle_record import BundleRecord
from streams.store.bundles.aliases import Switch, before_of

NOW_MS = 1_764_547_200_000
OLD, NEW, MAPPING = "gru-0f3a5c7e9b1d", "gru-aaaaaaaaaaaa", "tracking-509730a5402dff40"
READY = Readiness(
    bundle_id=NEW, workers=2, lag=0, item_vectors=500, items=500, mapping="the event contract", is_retired=False
)


def comparison(**changed: Any) -> BundleComparison:
    fields: dict[str, Any] = {"champion": OLD, "challenger": NEW, "users": 800, "user_blocks": 900, "events": 4_000}
    fields |= {"mean_difference": 0.012, "low": 0.002, "high": 0.022, "champion_mean": 0.2, "challenger_mean": 0.212}
    fields |= {"open_events": 0, "unmatched_events": 0, "challenger_delay_ms": 5.0}
    fields |= {"champion_unknown_items": 0, "challenger_unknown_items": 0}
    fields |= {"first_time_ms": NOW_MS - 10**7, "last_time_ms": NOW_MS, "last_scored_at_ms": NOW_MS - 2_000}
    found = BundleComparison(**fields, published_at_ms=NOW_MS - 1_000)
    return msgspec.structs.replace(found, **changed)


def test_a_bundle_that_is_ready_and_better_lacks_nothing() -> None:
    assert list(lacking_readiness(READY, OLD, "the event contract")) == []
    assert list(lacking_comparison(comparison(), OLD, NEW, NOW_MS)) == []


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"workers": 0}, f"no worker of {NEW} runs"),
        ({"lag": 12_345}, f"the workers of {NEW} lag: 12,345 records are not committed after 5 s"),
        ({"item_vectors": 499}, f"only 499 of 500 item vectors of {NEW} are stored"),
        ({"mapping": MAPPING}, f"{NEW} reads the topic by {MAPPING}, and {OLD} by the event contract"),
        ({"is_retired": True, "workers": 0}, f"the rows of {NEW} are deleted"),
    ],
)
def test_each_lack_of_readiness_is_one_sentence(changed: dict[str, Any], reason: str) -> None:
    (found,) = lacking_readiness(msgspec.structs.replace(READY, **changed), OLD, "the event contract")
    assert found.startswith(reason)


def test_a_renamed_mapping_and_bundles_of_earlier_versions_are_no_lack() -> None:
    renamed = msgspec.structs.replace(READY, mapping=MAPPING)
    assert list(lacking_readiness(renamed, OLD, MAPPING.replace("tracking", "shop"))) == []
    assert list(lacking_readiness(msgspec.structs.replace(READY, mapping=None), OLD, MAPPING)) == []
    assert list(lacking_readiness(READY, OLD, None)) == []


def test_each_lack_of_evidence_is_one_sentence() -> None:
    (absent,) = lacking_comparison(None, OLD, NEW, NOW_MS)
    assert absent.startswith(f"no comparison of {OLD} with {NEW} is published")
    (equal,) = lacking_comparison(comparison(low=0.0), OLD, NEW, NOW_MS)
    assert "the mrr@20 differs by +0.0120, and the interval from +0.0000 to +0.0220 is not above 0" in equal
    assert "compares 4 bundles at most" in absent
    assert f"`thalweg monitor --compare {OLD} {NEW}`" in absent
    nothing = comparison(low=-1.0, mean_difference=None, events=0, last_scored_at_ms=None)
    (none,) = lacking_comparison(nothing, OLD, NEW, NOW_MS)
    assert none.startswith("no event has been scored by both bundles within five minutes yet: wait for new events")
    (uncounted,) = lacking_comparison(
        comparison(low=-1.0, mean_difference=None, events=0, open_events=3), OLD, NEW, NOW_MS
    )
    assert uncounted.startswith("no event counts yet: the 3 events")
    assert len(list(lacking_comparison(comparison(low=-0.1), OLD, NEW, NOW_MS + 2 * RECENT_MS))) == 2


def test_the_age_of_a_comparison_is_that_of_its_last_event_whenever_a_monitor_published_it() -> None:
    at_limit = comparison(last_scored_at_ms=NOW_MS - RECENT_MS, published_at_ms=NOW_MS)
    assert list(lacking_comparison(at_limit, OLD, NEW, NOW_MS)) == []
    again = msgspec.structs.replace(at_limit, published_at_ms=NOW_MS + 60_000)
    (old,) = lacking_comparison(again, OLD, NEW, NOW_MS + 60_000)
    assert old.startswith("both bundles scored the last event of the comparison 61 minutes ago (last_scored_at_ms)")
    (unknown,) = lacking_comparison(comparison(last_scored_at_ms=None), OLD, NEW, NOW_MS)
    assert unknown.startswith("the comparison does not tell when both bundles scored an event last (last_scored_at_ms)")


def rolled_back(history: list[Switch], switch: Callable[..., Switch]) -> list[str]:
    """The bundles that repeated rollbacks make active, where `history` has the last switch first."""
    found = []
    for _ in range(9):  # more than there are promotions
        target = history[0].before
        if target is None:
            break
        before = before_of(history, target)
        history = [switch(target, history[0].bundle_id, before, "rollback"), *history]
        found.append(target)
    return found


def test_rollbacks_lead_back_through_all_promotions_also_of_a_bundle_that_was_promoted_twice() -> None:
    def switch(bundle_id: str, replaced: str, before: str | None, command: str) -> Switch:
        return Switch(bundle_id=bundle_id, replaced=replaced, before=before, switched_at="t", command=command)

    def promoted(names: str, history: Sequence[Switch] = ()) -> list[Switch]:
        found = list(history)
        for old, new in pairwise(names):
            found = [switch(new, old, old, "promote"), *found]
        return found

    assert rolled_back(promoted("abc"), switch) == ["b", "a"]
    assert rolled_back(promoted("abcb"), switch) == ["c", "b", "a"]
    assert rolled_back(promoted("abab"), switch) == ["a", "b", "a"]
    back = [switch("b", "c", "a", "rollback"), *promoted("abc")]
    assert rolled_back(promoted("bdc", back), switch) == ["d", "b", "a"]
    assert before_of([], "a") is None


def test_the_state_of_a_bundle() -> None:
    record = BundleRecord(bundle_id=NEW, width=67, items=500, first_served_at="2026-11-29 08:00:00.000Z")
    assert (state_of(record, True), state_of(record, False)) == ("serving", "shadow")
    begun = msgspec.structs.replace(record, retirement_began_at="2026-11-29 09:00:00.000Z")
    assert state_of(begun, False) == "retiring"
    assert state_of(msgspec.structs.replace(begun, retired_at="2026-11-29 09:01:00.000Z"), False) == "retired"
    assert record.age_s > 0


def test_numbers_have_units() -> None:
    assert [bytes_text(count) for count in (0, 999, 1_000, 12_345, 999_900, 1_234_567, 5 * 10**9, 4 * 10**12)] == [
        *("0 B", "999 B", "1.00 kB", "12.3 kB", "1,000 kB", "1.23 MB", "5.00 GB", "4,000 GB")
    ]
    assert [age_text(age) for age in (5, 90, 7_200, 200_000)] == ["5 s", "1.5 min", "2.0 h", "2.3 d"]
    assert [rows_text(1_000, 0), rows_text(1_234_567, 20_000)] == ["1,000", "1,234,567 ± 20,000"]
