"""Logs whose lines are records of a foreign topic."""

import gzip
from pathlib import Path
from typing import Any

import msgspec
import pytest

from encoder.data.loaders import load_log
from encoder.errors import InputError

TRACK = {
    "type": "track",
    "messageId": "m-1",
    "userId": "u-1",
    "event": "Product Viewed",
    "timestamp": "2026-03-01T10:00:00Z",
    "properties": {"product_id": "p-1", "price": "18.99", "brand": "Woody"},
}
LINES = [{"product_id": "p-2"}, {"product_id": "p-3"}]
RECORDS: list[Any] = [
    TRACK,
    {**TRACK, "messageId": "m-2", "event": "Order Completed", "properties": {"products": LINES}},
    {**TRACK, "messageId": "m-2", "event": "Order Completed", "properties": {"products": LINES}},  # sent again
    {**TRACK, "messageId": "m-3", "event": "Product List Viewed"},
    {**TRACK, "messageId": "m-4", "type": "identify"},
    {**TRACK, "messageId": "m-5", "event": "Order Completed", "properties": {"products": [*LINES, {}]}},
    {**TRACK, "messageId": "m-6", "properties": {"product_id": "p-4", "price": -1}},
]


def written(folder: Path, records: list[Any], name: str = "topic.jsonl") -> Path:
    path = folder / name
    text = b"\n".join([*map(msgspec.json.encode, records), b"no JSON", b'{"type": NaN}'])
    path.write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    return path


@pytest.mark.parametrize("name", ["topic.jsonl", "topic.jsonl.gz"])
def test_each_event_of_a_line_is_a_row_and_skipped_lines_are_counted(tmp_path: Path, name: str) -> None:
    log, report = load_log(written(tmp_path, RECORDS, name), mapping="segment")
    assert [log.item_ids[item] for item in log.item] == ["p-1", "p-2", "p-3", "p-4"]
    assert {log.user_ids[user] for user in log.user} == {"u-1"}
    assert list(log.event_ids or ()) == ["m-1", "m-2#1", "m-2#2", "m-6"]
    assert (report.rows, report.kept, report.duplicates, report.unparsable) == (8, 4, 2, 2)
    assert report.counts()["skipped"] == 3
    text = str(report)
    assert "8 rows: 4 kept, 2 duplicates, 2 unparsable, and 3 records that are no events by the mapping" in text
    assert 'skipped (action): 1 with "Product List Viewed"' in text
    assert 'skipped (filter): 1 with type is "identify"' in text
    assert "line 6: line 3: item_id is missing: no line:product_id or properties.product_id or line:sku" in text
    assert "without price (negative): 1 events, first line 7: -1" in text


def test_an_example_of_an_unparsable_row_shows_the_record_once(tmp_path: Path) -> None:
    nobody = {name: value for name, value in TRACK.items() if name != "userId"}
    _, report = load_log(written(tmp_path, [nobody, {**TRACK, "timestamp": "never"}]), mapping="segment")
    missing, no_time, no_json = report.examples
    assert missing.startswith('line 1: user_id is missing: no userId or anonymousId in {"type":"track"')
    assert missing.count('"type"') == 1
    assert no_time.count('{"type":"track"') == 1
    assert no_json.endswith(": no JSON")


def test_many_values_of_skipped_records_are_counted_together(tmp_path: Path) -> None:
    others = [{**TRACK, "event": f"Other {number}"} for number in range(50)]
    _, report = load_log(written(tmp_path, [TRACK, *others]), mapping="segment")
    assert report.skipped.total() == 51
    assert len(report.skipped) == 22  # 20 values, and the other values of each reason
    assert "skipped (action): 30 with other values" in str(report)


def test_a_mapping_reads_json_lines_alone(tmp_path: Path) -> None:
    path = written(tmp_path, RECORDS)
    with pytest.raises(InputError, match=r"mapping 'segment' and format csv .* a mapping reads jsonl without columns"):
        load_log(path, "csv", mapping="segment")
    with pytest.raises(InputError, match="mapping 'segment' and columns 'user_id=u'"):
        load_log(path, None, "user_id=u", mapping="segment")
    with pytest.raises(InputError, match=r'neither a preset nor a file .*: did you mean "segment"'):
        load_log(path, mapping="segmnt")
