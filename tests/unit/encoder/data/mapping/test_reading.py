"""The counts of records by outcome stay small, because `thalweg rekey --follow` counts for months."""

from encoder.data.contract.quoting import quote_json
from encoder.data.mapping import Skipped, SkipReason, SourceRecord, parse_mapping
from encoder.data.mapping.proposals import Reading, judge_record

MANY, MOST = 3_000, 1_001  # kinds; the last one stands for all others
TEXT = 'user = "u"\nitem = "i"\naction = { const = "view" }\ntime = "timestamp:"\n[attributes]\n"*" = "a"\n'


def test_values_with_quotes_are_no_kinds_of_their_own() -> None:
    reading = Reading()
    for number in range(3):
        for value in ("a" * number + "\"'b", "'" * number + "c"):
            reading.add_rejected(f"event_time_ms at t: {quote_json(value)} is no time")
    assert list(reading.rejected.values()) == [6]


def test_the_kinds_of_each_outcome_are_limited_and_their_sums_are_right() -> None:
    mapping = parse_mapping(TEXT, "m.toml", "m")
    part, reading, total = Reading(), Reading(), Reading()
    for number in range(MANY):
        name = f"kind-{number}".translate(str.maketrans("0123456789", "abcdefghij"))
        part.add_rejected(f"the reason {name}")
        part.add_skipped(Skipped(SkipReason.ACTION, name))
        odd = {"u": "u", "i": "p", "a": {name: {"v": 1}}}
        judge_record(mapping, SourceRecord(odd, b"k", (), 1_772_359_200_000), part)
        if number % 1_000 == 999:
            reading.add(part)
            total.add(part)
            part = Reading()
    total.add(reading)
    for counts in (total.rejected, total.skipped, total.dropped):
        assert len(counts) == MOST
        assert counts.total() == 2 * MANY
    assert total.reasons.keys() == total.rejected.keys()
