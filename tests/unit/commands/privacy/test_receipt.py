"""The receipt of an erasure: what is deleted, and until when topics keep the rest."""

import pytest

from streams.commands.erase.proof import Verdict
from streams.commands.erase.receipt import make_receipt
from streams.commands.erase.retention import CHECK_INTERVAL_MS, kept_until
from streams.commands.subject.report import HeldRecord, LookedAt, NotLookedAt, SubjectReport
from streams.config.settings import Settings
from streams.store.bundles.held_rows import HeldRow

SETTINGS = Settings()
HOUR_MS = 3_600_000
TOPIC = {"cleanup.policy": "delete", "retention.ms": str(24 * HOUR_MS), "segment.ms": str(HOUR_MS)}
TOPIC |= {"file.delete.delay.ms": "60000"}
COMPACTED = {"cleanup.policy": "compact", "delete.retention.ms": "86400000"}
LAST_MS = 1_800_000_000_000


OWN_TOPIC = f"{SETTINGS.updates_topic}.gru-b"


def held(
    kind: str,
    offset: int,
    timestamp_ms: int = LAST_MS,
    key: str = "ann",
    topic: str = SETTINGS.updates_topic,
    partition: int = 1,
) -> HeldRecord:
    return HeldRecord(
        topic=topic, partition=partition, offset=offset, timestamp_ms=timestamp_ms, kind=kind, key=key, value=None
    )


def test_a_record_is_gone_after_retention_and_the_time_that_its_segment_may_be_open() -> None:
    assert kept_until(TOPIC, LAST_MS).at_ms == LAST_MS + 25 * HOUR_MS + CHECK_INTERVAL_MS + 60_000


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (TOPIC | {"retention.ms": "-1"}, "unlimited: retention.ms is -1"),
        (TOPIC | {"segment.ms": str(2**63 - 1)}, "unlimited: retention.ms is 86400000 and segment.ms is"),
        (COMPACTED | {"max.compaction.lag.ms": str(2**63 - 1)}, "max.compaction.lag.ms sets no limit"),
        ({}, "DescribeConfigs"),
    ],
)
def test_without_a_limit_the_receipt_says_why(settings: dict[str, str], why: str) -> None:
    found = kept_until(settings, LAST_MS)
    assert found.at_ms is None
    assert why in found.why


def test_a_compacted_topic_with_a_limit_has_an_end() -> None:
    found = kept_until(COMPACTED | {"max.compaction.lag.ms": str(HOUR_MS)}, LAST_MS)
    assert found.at_ms == LAST_MS + HOUR_MS + CHECK_INTERVAL_MS


def test_the_receipt_counts_what_was_deleted_and_what_stays() -> None:
    left = SubjectReport(
        user_id="ann",
        stored_id="ann",
        asked_at_ms=LAST_MS,
        rows=[{"table": "representations_4", "bundle_id": "gru-b"}],
        events=[held("event", 3, LAST_MS - HOUR_MS), held("erasure", 7)],
        updates_topics=[SETTINGS.updates_topic, OWN_TOPIC],
        updates=[
            *(held("update", 3, key="gru-a/ann"), held("tombstone", 9, key="gru-a/ann"), held("tombstone", 10)),
            held("update", 4, key="gru-b/ann", topic=OWN_TOPIC),
            held("update", 2, key="gru-a/ann", partition=0),
        ],
        looked_at=[LookedAt("table representations_4", 1)],
        not_looked_at=[
            NotLookedAt(f"topic {SETTINGS.dead_letter_topic}", "failed", "no right"),
            NotLookedAt("topic x partition 0 offsets 4 to 9", "open", "a transaction is still open"),
            NotLookedAt("topic x partition 0 offsets 0 to 4", "deleted", "retention has deleted these records"),
        ],
    )
    retention = {SETTINGS.behavior_topic: TOPIC, SETTINGS.updates_topic: COMPACTED | {"max.compaction.lag.ms": "1"}}
    rows = [HeldRow("gru-a", None), HeldRow("gru-b", None)]
    verdict = Verdict(True, True, ("x",), unread=("gru-c",))
    found = make_receipt(SETTINGS, {1: 7}, rows, verdict, left, retention, {"representations_4": 864000})
    assert found.erasure == [(1, 7)]
    assert [(one.bundle_id, one.at) for one in found.deleted] == [("gru-a", []), ("gru-a", [(1, 9)]), (None, [(1, 10)])]
    earlier = next(one for one in found.remaining if "without a later null value" in one.what)
    assert (earlier.place, earlier.records, earlier.until) == (f"topic {SETTINGS.updates_topic}", 1, "unlimited")
    by_place = {one.place: one for one in found.remaining if one is not earlier}
    assert "a transaction is still open" in by_place["topic x partition 0 offsets 4 to 9"].why
    assert "topic x partition 0 offsets 0 to 4" not in by_place, "nothing is there any more"
    assert "a backfill that runs now" in by_place["bundle gru-c"].why
    assert any("monitor_folder" in place for place in by_place)
    events = by_place[f"topic {SETTINGS.behavior_topic}"]
    assert (events.records, events.last_record_ms) == (2, LAST_MS)
    assert events.until == "2027-01-16T09:06:00Z"
    assert by_place[f"topic {SETTINGS.dead_letter_topic}"].records is None
    assert "no right" in by_place[f"topic {SETTINGS.dead_letter_topic}"].why
    assert by_place[f"topic {SETTINGS.updates_topic}"].records == 3
    assert by_place[f"topic {OWN_TOPIC}"].records == 1
    assert by_place["table thalweg.representations_4"].what == "a row of bundle gru-b"
    assert "2027-01-25T08:00:00Z" in by_place["data files of table thalweg.representations_4"].why
    assert f"topic {SETTINGS.evaluation_topic}" not in by_place, "nothing of the user is there"
    assert found.remaining[-1].place.startswith("backups")
