"""The parts of a mapping."""

from collections.abc import Mapping
from typing import NamedTuple

from encoder.data.mapping.lines import Lines
from encoder.data.mapping.sources.source import Source
from encoder.data.mapping.sources.times import ToMs

ALL_OF = "*"  # the attribute that stands for all fields of an object


class Plan(NamedTuple):
    """The parts of a mapping file."""

    event_id: Source
    user: Source
    item: Source
    action: Source
    renamed: Mapping[str, str | None]  # action of the record -> action of the event; None: the mapping drops the action
    drops_other_actions: bool
    time: Source
    to_ms: ToMs
    unit: str | None  # of the time, where the mapping names one
    session: Source | None
    category: Source | None
    price: Source | None
    attributes: tuple[tuple[str, Source], ...]
    skipped_without: frozenset[str]  # fields without which a record is skipped and not rejected
    filters: tuple[tuple[Source, frozenset[str]], ...]
    lines: Lines | None
