"""Proposes the text of a mapping file: a preset that fits the records, or else fields by name and value."""

from collections.abc import Sequence
from typing import NamedTuple

from encoder.data.contract.rejection import Rejection
from encoder.data.mapping.document import REQUIRED
from encoder.data.mapping.loading import load_mapping, preset_names
from encoder.data.mapping.proposals.by_fields import FieldsProposal, propose_by_fields
from encoder.data.mapping.proposals.reading import Reading, read_sample
from encoder.data.mapping.proposals.toml_text import comment, toml_value
from encoder.data.mapping.records import SkipReason, SourceRecord
from encoder.wording import counted

_MOST_REJECTED = 0.05  # share of the records that a fitting preset may reject
_FEWEST_READ = 0.01  # share of the records that a fitting preset must read as events
_MOST_DROPPED_ACTIONS = 40  # in a proposal
# Presets for an envelope around fields of the user's own: preset -> where the fields stand, and the keys to find there.
_ENVELOPES = {
    "cloudevents": ((("data",), ()), ("user", "item", "session", "category", "price", "brand", "item_name")),
    "debezium": (
        (("payload", "after"), ("after",)),
        ("user", "item", "action", "session", "category", "price", "brand", "item_name"),
    ),
}


class Proposal(NamedTuple):
    """A proposed mapping file."""

    text: str  # TOML
    preset: str | None  # the preset that the file extends
    missing: tuple[str, ...] = ()  # keys for which the sample has no field, so that the file is not complete


def propose(sample: Sequence[SourceRecord | Rejection], of: str) -> Proposal:
    """Propose a mapping from a sample. A rejection stands for a value that is unreadable. of: names the sample."""
    records = [record for record in sample if isinstance(record, SourceRecord) and record.value is not None]
    head = comment(f"Proposed by `thalweg map` from {len(records):,} records of {of}. docs/mapping.md lists all keys.")
    fitting = _fitting_preset(records)
    if fitting is not None:
        name, reading = fitting
        return Proposal("\n".join([head, *_extension(name, reading), ""]), name)
    for name, (places, keys) in _ENVELOPES.items():
        if _has_envelope(name, records):
            found = propose_by_fields(records, places, keys)
            text = "\n".join([head, f"extends = {toml_value(name)}", "", *found.lines, ""])
            return Proposal(text, name, _incomplete(found))
    found = propose_by_fields(records)
    return Proposal("\n".join([head, "", *found.lines, ""]), None, _incomplete(found))


def _incomplete(found: FieldsProposal) -> tuple[str, ...]:
    return tuple(key for key in found.missing if key in REQUIRED)


def _fitting_preset(records: Sequence[SourceRecord]) -> tuple[str, Reading] | None:
    """The preset that reads most of the records, and rejects few."""
    readings = {name: read_sample(load_mapping(name), records) for name in preset_names()}
    fitting = {
        name: reading
        for name, reading in readings.items()
        if reading.read >= max(1, _FEWEST_READ * reading.records)
        and reading.rejected.total() <= _MOST_REJECTED * (reading.read + reading.rejected.total())
    }
    # Of presets that read the same, such as Segment's and RudderStack's, the later name has no more to say.
    best = max(fitting, key=lambda name: (fitting[name].read, name == "segment"), default=None)
    return None if best is None else (best, fitting[best])


def _has_envelope(name: str, records: Sequence[SourceRecord]) -> bool:
    reading = read_sample(load_mapping(name), records)
    filtered = sum(count for one, count in reading.skipped.items() if one.reason == SkipReason.FILTER)
    return bool(records) and filtered <= 0.5 * len(records)


def _extension(name: str, reading: Reading) -> list[str]:
    lines = [f"extends = {toml_value(name)}"]
    dropped = [(one.value, count) for one, count in reading.skipped.most_common() if one.reason == SkipReason.ACTION][
        :_MOST_DROPPED_ACTIONS
    ]
    if dropped:
        lines += ["", "[actions]", comment("Records with these actions are dropped. A name on the right keeps them:")]
        for action, count in dropped:
            # A skipped action is shown as JSON, and a text of JSON is a key of TOML.
            lines.append(comment(f'{action} = "..." ({counted(count, "record")})'))
    return lines
