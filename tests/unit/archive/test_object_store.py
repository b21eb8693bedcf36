"""An archive in a bucket: the same contents as in a folder, and two processes that never write the same segment."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from streams.archive.columns import ArchivedRecord
from streams.archive.files import ArchiveFiles, ObjectFiles, open_files
from streams.archive.layout import DAY_MS, LOCK, Claim, Description, Log, Span, claim_path
from streams.archive.log_part import check_new, complete, delete_unfinished, write_log_part
from streams.archive.reader import ArchiveReader
from streams.archive.removal import Erasure as ErasedAt
from streams.archive.removal import find_user, remove_user
from streams.archive.writer import SegmentWriter, open_archive
from streams.config.errors import ArchiveError, InputError
from streams.engine.codec import Erasure
from tests.support.archives import DESCRIPTION, object_store, view, write_segment


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with object_store() as address:
        yield address


@pytest.fixture
def address(bucket: str, request: pytest.FixtureRequest) -> str:
    return f"{bucket}/{request.node.name}"


@pytest.fixture(params=["folder", "bucket"])
def files(request: pytest.FixtureRequest, tmp_path: Path, bucket: str) -> ArchiveFiles:
    place = str(tmp_path) if request.param == "folder" else f"{bucket}/files-{request.node.name}"
    return open_files(place)


def test_what_every_place_of_an_archive_does(files: ArchiveFiles) -> None:
    assert files.names("a") == []
    assert [files.create("a/b/1", b"one"), files.create("a/b/1", b"two")] == [True, False]
    assert files.read("a/b/1") == b"one"
    assert [files.replace("a/b/1", b"three", b"one"), files.replace("a/b/1", b"four", b"one")] == [True, False]
    files.write("a/2", b"two")
    files.write("a/2", b"more")
    with files.open("a/2") as opened:
        assert opened.read() == b"more"
    assert files.names("a") == ["2", "b/1"]
    files.delete("a/2")
    files.delete("a/2")
    assert (files.names("a"), files.read("a/b/1")) == (["b/1"], b"three")
    with pytest.raises(FileNotFoundError):
        files.read("a/2")
    with pytest.raises(FileNotFoundError), files.open("a/2"):
        pass
    with files.lock(of_removal=True), pytest.raises(InputError, match="changes"), files.lock(of_removal=True):
        pass
    with files.lock(of_removal=True):
        pass


def test_an_archive_in_a_bucket_is_read_and_a_user_is_removed(address: str) -> None:
    write_segment(address, 0, 0, [0, DAY_MS, 0], [view("ann", 1), view("bob", 2), Erasure("ann")])
    write_segment(address, 0, 3, [0])
    reader = ArchiveReader.open(address)
    assert [batch.column("offset").to_pylist() for batch in reader.read(0)] == [[0, 1, 2], [3]]
    assert len(remove_user(reader, "ann", ErasedAt(0, 2, 0))) == 1
    assert [batch.column("offset").to_pylist() for batch in reader.read(0)] == [[1], [3]]
    assert (list(find_user(reader, "ann")), reader.files.names(LOCK)) == ([], [])
    assert len(reader.files.names("events")) == 2


def test_the_second_of_two_processes_is_refused_and_writes_nothing(address: str) -> None:
    """Both have read different ends of the topic. Then both have read the claim of a process that was killed."""
    files = open_files(address)
    open_archive(files, DESCRIPTION)

    def segment(records: int) -> SegmentWriter:
        writer = SegmentWriter(files, "events", 0, 0)
        writer.add([ArchivedRecord(at, 0) for at in range(records)], [view("u", at) for at in range(records)])
        return writer

    one, other = segment(3), segment(5)
    one.commit(2)
    with pytest.raises(InputError, match="another process has written the segment of partition 0 from offset 0"):
        other.commit(4)
    late = segment(3)
    assert late.claimed == 2
    with pytest.raises(InputError, match="another process has written"):
        late.commit(2)
    reader = ArchiveReader.open(address)
    assert [batch.column("offset").to_pylist() for batch in reader.read(0)] == [[0, 1, 2]]
    assert len(reader.files.names("events")) == 1


def test_a_late_process_that_read_more_records_changes_nothing(address: str) -> None:
    """Retention deleted offset 0 between the two. A removal came before the late process wrote its files."""
    files = open_files(address)
    open_archive(files, DESCRIPTION)
    records = [ArchivedRecord(at, 0) for at in range(4)]
    outcomes = [view("ann", 0), view("bob", 1), Erasure("ann"), view("bob", 3)]
    files.create(claim_path(0, 0), msgspec.json.encode(Claim(last=3)))  # of a process that was killed
    late, other = SegmentWriter(files, "events", 0, 0), SegmentWriter(open_files(address), "events", 0, 0)
    late.add(records, outcomes)
    other.add_gap(Span(0, 0))
    other.add(records[1:], outcomes[1:])
    other.commit(3)
    reader = ArchiveReader.open(address)
    assert len(remove_user(reader, "ann", ErasedAt(0, 2, 0))) == 1
    names = files.names("events")
    with pytest.raises(InputError, match="another process has written"):
        late.commit(3)
    assert [batch.column("offset").to_pylist() for batch in reader.read(0)] == [[1, 3]]
    assert files.names("events") == names
    assert len(names) == 1


def test_a_store_that_ignores_the_condition_of_a_write_is_refused(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def create(self: ObjectFiles, path: str, data: bytes) -> bool:
        self.write(path, data)
        return True

    monkeypatch.setattr(ObjectFiles, "create", create)
    with pytest.raises(InputError, match="two processes could write the same segment"):
        open_archive(open_files(address), DESCRIPTION)


def test_places_that_cannot_hold_an_archive(bucket: str) -> None:
    with pytest.raises(InputError, match="names no bucket"):
        open_files("s3://")
    with pytest.raises(ArchiveError, match="bucket does not exist"):
        open_archive(open_files("s3://missing-bucket/a"), DESCRIPTION)
    with pytest.raises(InputError, match="there is no archive at"):
        ArchiveReader.open(f"{bucket}/nothing")
    other = open_files(f"{bucket}/other")
    open_archive(other, DESCRIPTION)
    with pytest.raises(InputError, match="holds topic events"):
        open_archive(other, Description(format=1, topic="t", topic_id="1-2", decoder="the event contract"))


def test_an_archive_in_a_bucket_begins_with_a_log(address: str) -> None:
    files = open_files(address)
    with_log = msgspec.structs.replace(DESCRIPTION, format=2, log=Log(id="ab", until_ms=5))
    assert len(list(write_log_part(files, "events", 0, 0, [], 5))) == 1
    with pytest.raises(InputError, match="was stopped, run that command again"):
        open_archive(files, DESCRIPTION)
    delete_unfinished(files)
    assert files.names("segments") == []
    assert len(list(write_log_part(files, "events", 0, 0, [], 7))) == 1
    complete(files, with_log)
    assert (open_archive(files, DESCRIPTION).end(0), ArchiveReader.open(address).description) == (7, with_log)
    with pytest.raises(InputError, match="exists already"):
        check_new(files)
