"""The parts of a mapping."""

from collections.abc import Mapping
from typing import NamedTuple

from encoder.data.mapping.lines import Lines
from encoder.data.mapping.sources import Source
from encoder.data.mapping.times import ToMs

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
    session: Source | None
    category: Source | None
    price: Source | None
    attributes: tuple[tuple[str, Source], ...]
    filters: tuple[tuple[Source, frozenset[str]], ...]
    lines: Lines | None
