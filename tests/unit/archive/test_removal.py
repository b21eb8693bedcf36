"""Removing a user from an archive: what goes, what stays, and what a killed removal leaves."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from streams.archive import removal
from streams.archive.columns import to_outcomes
from streams.archive.files import LocalFiles
from streams.archive.layout import DAY_MS, Span, events_path
from streams.archive.reader import ArchiveReader
from streams.archive.removal import REMOVED, Quoted, find_user, last_erasure, remove_user
from streams.config.errors import ArchiveError, InputError
from streams.engine.codec import Erasure, Outcome, Rejected, Several, Skipped
from tests.support.archives import view, write_segment

REJECTED = Rejected("key is 'other', it must be the user_id 'ann-1234'", "key")
ERASED = removal.Erasure(0, 5, DAY_MS)
SKIPPED = Skipped("filter", '{"login":"ann-1234"}')


class Killed(BaseException):
    """Stands for the end of the process."""


def make(folder: Path) -> ArchiveReader:
    """Partition 0: two segments with events of both users, the first with two days. Partition 1: an older event."""
    ann, bob = view("ann-1234", 1), view("bob", 2)
    several = Several("e1", "ann-1234", (ann, view("ann-1234", 3)))
    write_segment(folder, 0, 0, [0, 0, DAY_MS, 0], [ann, bob, several, REJECTED])
    write_segment(folder, 0, 4, [DAY_MS] * 4, [bob, Erasure("ann-1234"), SKIPPED, view("ann-1234", 9)])
    write_segment(folder, 0, 8, [DAY_MS], [bob])
    write_segment(folder, 1, 0, [5, 2 * DAY_MS], [view("ann-1234", 4), view("ann-1234", 5)])
    return ArchiveReader.open(str(folder))


def outcomes(reader: ArchiveReader, partition: int) -> list[tuple[int, Outcome]]:
    found = [to_outcomes(batch) for batch in reader.read(partition)]
    return [(record.offset, what) for some in found for record, what in zip(some[0], some[1], strict=True)]


def check_removed(folder: Path) -> None:
    reader = ArchiveReader.open(str(folder))
    bob = view("bob", 2)
    assert outcomes(reader, 0) == [
        (1, bob),
        (3, Rejected(REMOVED, "key")),
        (4, bob),
        (6, Skipped("filter", REMOVED)),
        (7, view("ann-1234", 9)),
        (8, bob),
    ]
    assert outcomes(reader, 1) == [(1, view("ann-1234", 5))]
    assert (reader.end(0), reader.end(1)) == (9, 2)
    listed = {file.path for p in (0, 1) for segment in reader.segments(p) for file in segment.files}
    assert {f"events/{name}" for name in reader.files.names("events")} == listed


def test_the_rows_up_to_the_erasure_go_and_the_others_stay(tmp_path: Path) -> None:
    reader = make(tmp_path)
    untouched = next(reader.segments(0)).files
    found = remove_user(reader, "ann-1234", ERASED)
    check_removed(tmp_path)
    assert [(one.rows, one.reasons, one.after is None) for one in found] == [
        (1, 1, False),  # the first day of the first segment
        (2, 0, True),  # its second day, which held the user alone
        (1, 1, False),  # the segment with the erasure
        (1, 0, True),  # the first day of partition 1
    ]
    assert all(not (tmp_path / one.before).exists() for one in found)
    assert len(untouched) == 2
    assert [rows.num_rows for rows in find_user(ArchiveReader.open(str(tmp_path)), "ann-1234")] == [1, 1]


def test_a_users_rows_are_found_with_the_reasons_that_quote_the_id(tmp_path: Path) -> None:
    reader = make(tmp_path)
    kinds = [kind for rows in find_user(reader, "ann-1234") for kind in rows.column("kind").to_pylist()]
    assert (kinds.count("rejected"), kinds.count("skipped"), kinds.count("erasure")) == (1, 1, 1)
    assert [kind for rows in find_user(reader, "nobody") for kind in rows.column("kind").to_pylist()] == []


def test_a_second_removal_finds_nothing_to_do(tmp_path: Path) -> None:
    reader = make(tmp_path)
    assert last_erasure(reader, "ann-1234") == ERASED
    assert len(remove_user(reader, "ann-1234", ERASED)) == 4
    assert remove_user(reader, "ann-1234", ERASED) == []
    assert last_erasure(reader, "ann-1234") is None
    check_removed(tmp_path)


def test_a_user_who_came_back_can_be_removed_again(tmp_path: Path) -> None:
    remove_user(make(tmp_path), "ann-1234", ERASED)
    write_segment(tmp_path, 0, 9, [4 * DAY_MS], [Erasure("ann-1234")])
    reader = ArchiveReader.open(str(tmp_path))
    erasure = last_erasure(reader, "ann-1234")
    assert erasure == (0, 9, 4 * DAY_MS)
    found = remove_user(reader, "ann-1234", erasure)
    assert any(str(one.after).endswith(".2.parquet") for one in found)
    assert list(find_user(reader, "ann-1234")) == []


def test_in_a_partition_with_an_erasure_of_its_own_the_offset_decides(tmp_path: Path) -> None:
    """The clock of the other partition's producer goes ahead, and the user came back in that partition."""
    ann = "ann-1234"
    write_segment(tmp_path, 0, 0, [9 * DAY_MS, 9 * DAY_MS], [view(ann, 1), Erasure(ann)])
    write_segment(tmp_path, 1, 0, [9 * DAY_MS + 1, 5, 6], [view(ann, 2), Erasure(ann), view(ann, 3)])
    reader = ArchiveReader.open(str(tmp_path))
    remove_user(reader, ann, removal.Erasure(0, 1, 9 * DAY_MS), removal.Erasure(1, 1, 5))
    assert (outcomes(reader, 0), outcomes(reader, 1)) == ([], [(2, view(ann, 3))])


def test_an_archive_that_does_not_reach_the_erasure_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ends before the erasure of user 'bob' at partition 0 offset 9"):
        remove_user(make(tmp_path), "bob", removal.Erasure(0, 9, 0))


def test_no_part_of_a_file_outlives_the_next_run_or_removal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process was killed within a write. Retention may delete the record, so that nobody writes the file again."""
    reader = make(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", mock.Mock(side_effect=Killed))
        with contextlib.suppress(Killed):
            reader.files.write(events_path(0, 3, Span(0, 0)), b"ann-1234")
    left = [path for path in tmp_path.rglob("*.part") if path.read_bytes() == b"ann-1234"]
    assert len(left) == 1
    (tmp_path / "mine.part").touch()  # no file of events
    remove_user(reader, "ann-1234", ERASED)
    assert [path.name for path in tmp_path.rglob("*.part")] == ["mine.part"]


@pytest.mark.parametrize("call", range(1, 12))
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_removal_that_is_killed_at_any_change_is_completed_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int, moment: str
) -> None:
    """A reader sees a whole archive all the time."""
    reader = make(tmp_path)
    whole = {partition: [offset for offset, _ in outcomes(reader, partition)] for partition in (0, 1)}
    count = 0

    def killing(original: Callable[..., Any]) -> Callable[..., Any]:
        def change(*args: Any) -> Any:
            nonlocal count
            count += 1
            if count == call and moment == "before":
                raise Killed
            result = original(*args)
            if count == call:
                raise Killed
            return result

        return change

    with monkeypatch.context() as patched:
        patched.setattr(LocalFiles, "write", killing(LocalFiles.write))
        patched.setattr(LocalFiles, "delete", killing(LocalFiles.delete))
        with contextlib.suppress(Killed):
            remove_user(reader, "ann-1234", ERASED)
    for partition, offsets in whole.items():
        assert {offset for offset, _ in outcomes(reader, partition)} <= set(offsets)
    remove_user(ArchiveReader.open(str(tmp_path)), "ann-1234", ERASED)
    check_removed(tmp_path)


@pytest.mark.parametrize(
    ("user_id", "text", "is_quoted"),
    [
        ("ann-1234", "key is 'ann-1234'", True),
        ("ann-1234", 'value is {"a":1,"user":"ann-1…', True),
        ("ann-1234", 'value is {"a":1,"user":"anna…', False),
        ("gün", "key is 'g\\xfcn'", True),
        ("gün", 'user_id is "g\\u00fcn"', True),
        ("u" * 200, f"key is '{'u' * 78}…", True),
        ("123", '{"user":123}', True),
        ("ann-1234", "user_id is missing", False),
        ("ann-1234", None, False),
    ],
)
def test_a_reason_that_quotes_the_id(user_id: str, text: str | None, is_quoted: bool) -> None:
    assert Quoted(user_id).is_in(text) == is_quoted


def test_only_one_process_changes_an_archive(tmp_path: Path) -> None:
    reader = make(tmp_path)
    with reader.files.lock(), pytest.raises(ArchiveError, match="another command changes archive") as refused:
        remove_user(reader, "ann-1234", ERASED)
    assert refused.value.retryable, "a scheduler runs the command again"
    remove_user(reader, "ann-1234", ERASED)
