"""The rows of an archive that name or quote a user, and their removal after an erasure. Loads pyarrow when called."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from streams.archive.opening import check_packages, open_reader
from streams.broker.decoding.record_decoder import open_decoder
from streams.broker.topics import describe_topic
from streams.commands.subject.report import HeldRecord
from streams.config.errors import InputError
from streams.config.settings import Settings

if TYPE_CHECKING:
    from streams.archive.removal import WrittenAnew


class Removal(NamedTuple):
    """What a removal did. rows_left: rows of the user from after the erasure."""

    files: "Sequence[WrittenAnew]"
    rows_left: int


def archived_rows(settings: Settings, address: str, user_id: str) -> list[dict[str, Any]]:
    """The rows of the user, and the rejected and skipped rows that quote the id, with the columns of the archive.

    Raises InputError where there is no archive of the topic and of the mapping that the settings name. Raises
    SettingsError without the packages, ArchiveError and BrokerError.
    """
    reader = open_reader(address)
    from streams.archive.removal import find_user

    topic = describe_topic(settings, settings.behavior_topic)
    reader.check(topic.name, topic.topic_id, open_decoder(settings).name)
    return [row for table in find_user(reader, user_id) for row in table.to_pylist()]


def remove_from_archive(
    settings: Settings, address: str, user_id: str, at: Mapping[int, int], events: Sequence[HeldRecord]
) -> Removal:
    """Archive the topic up to its present end, then remove the user's rows up to an erasure.

    at: the offset of the erasure, by partition. events: the user's records of the topic, which tell the time of the
    erasure. Without the first step, the archive would get the user's last records later. Raises InputError where the
    erasure is not among the events, where the archive belongs to another topic or misses records, and where another
    process changes it. Raises SettingsError without the packages, ArchiveError and BrokerError.
    """
    check_packages()
    found = [one for one in events if at.get(one.partition) == one.offset]
    if {one.partition: one.offset for one in found} != at:
        missing = ", ".join(f"partition {partition} offset {offset}" for partition, offset in sorted(at.items()))
        raise InputError(f"the erasure at {missing} was not read from topic {settings.behavior_topic}")
    from streams.archive.files import open_files
    from streams.archive.removal import Erasure, remove_user
    from streams.commands.archive.archiving import Archiving

    reader = open_reader(address)
    Archiving(settings, open_files(address), open_decoder(settings), accept_gaps=False).run()
    erasures = [Erasure(one.partition, one.offset, one.timestamp_ms) for one in found]
    files = remove_user(reader, user_id, *erasures)
    reader.refresh()
    return Removal(files, len(archived_rows(settings, address, user_id)))
