"""In which partitions the records of users stand, as `thalweg map` says for a sample and for a whole topic."""

from encoder.data.mapping import SourceRecord, parse_mapping
from streams.commands.map.counts import Counts, UserPartitions, count_sample
from streams.commands.map.report import key_lines
from streams.commands.map.sample import Sample, newest_starts

MAPPING = parse_mapping('user = "u"\nitem = "i"\naction = { const = "view" }\ntime = "timestamp:"\n', "f", "f")


def partitions_of(*places: tuple[str, int], key: bytes | None = None) -> UserPartitions:
    partitions = UserPartitions()
    for user, partition in places:
        partitions.add(user, user.encode() if key is None else key, partition)
    return partitions


def test_a_sample_states_the_share_among_the_users_with_several_records() -> None:
    once = [(f"u{number}", number % 4) for number in range(90)]
    partitions = partitions_of(*once, ("u0", 1), ("u1", 1), ("u2", 2), key=b"m")
    first, remedy = key_lines(partitions, is_sample=True)
    assert first == (
        "the key of 93 of 93 records with events is not the user; the records of 1 of the 3 users with several records "
        "in this sample stand in several partitions; a larger --sample shows more"
    )
    assert "makes dead letters of the others" in remedy
    assert "`thalweg rekey`" in remedy


def test_a_sample_without_a_user_of_several_records_tells_nothing() -> None:
    (line,) = key_lines(partitions_of(("a", 0), ("b", 1), key=b"m"), is_sample=True)
    assert "no user has several records in this sample, so the sample does not tell" in line
    (line,) = key_lines(partitions_of(("a", 0), ("a", 0), key=b"m"), is_sample=True)
    assert "the records of each of the 1 user with several records in this sample stand in one partition" in line


def test_a_whole_topic_is_counted_exactly() -> None:
    places = [("a", 0), ("a", 0), ("a", 1), ("b", 2), ("b", 2), ("c", 0), ("d", 0), ("d", 1), ("d", 2), ("d", 2)]
    first, remedy = key_lines(partitions_of(*places, key=b"m"), is_sample=False)
    assert first == (
        "the key of 10 of 10 records with events is not the user; the records of 2 of 4 users stand in several "
        "partitions: 7 of 10 records with events (70.0%), and 3 (30.0%) are outside the partition with most records of "
        "their user"
    )
    assert "`thalweg rekey`" in remedy
    (line,) = key_lines(partitions_of(("a", 0), ("b", 1), ("b", 1), key=b"m"), is_sample=False)
    assert line.endswith("is not the user; the records of each user stand in one partition")


def test_records_with_the_user_as_key_are_scattered_by_a_producer_that_chooses_partitions() -> None:
    first, _ = key_lines(partitions_of(("a", 0), ("a", 1)), is_sample=False)
    assert first.startswith("the key of each record with events is the user; the records of 1 of 1 user stand in sev")
    assert key_lines(partitions_of(("a", 0), ("a", 0)), is_sample=False) == []
    assert key_lines(UserPartitions(), is_sample=True) == []


def test_records_of_a_topic_are_counted_with_events_alone_and_records_of_a_file_are_not() -> None:
    records = [SourceRecord({"u": "a", "i": "p"}, b"k", (), 1), SourceRecord({"i": "p"}, b"k", (), 1)]
    counts = count_sample(MAPPING, Sample("topic t", [*records], [0, 1]), 10)
    assert (counts.partitions.records, counts.partitions.with_other_key, counts.reading.records) == (1, 1, 2)
    assert len(counts.reading.first_events) == 1
    counts = Counts(MAPPING)
    assert len(counts.add(records[0])) == 1
    assert counts.partitions.records == 0


def test_a_sample_takes_from_full_partitions_what_short_ones_lack() -> None:
    first, ends = {0: 100, 1: 0, 2: 50, 3: 0}, {0: 1100, 1: 10, 2: 50, 3: 2000}
    starts = newest_starts(first, ends, 1_000)
    assert starts == {0: 605, 1: 0, 2: 50, 3: 1505}
    assert sum(ends[partition] - start for partition, start in starts.items()) == 1_000
    assert newest_starts(first, ends, 5_000) == first
    starts = newest_starts(first, {partition: start + 9 for partition, start in first.items()}, 10)
    assert sorted(first[partition] + 9 - start for partition, start in starts.items()) == [2, 2, 3, 3]
