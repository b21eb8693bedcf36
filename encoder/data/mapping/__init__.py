"""Mappings: how the records of a foreign topic or log become events. A mapping is a preset or a file of TOML.

The package is pure, apart from reading the file. The package imports only `encoder.data.contract`
and `encoder.errors`. docs/mapping.md describes the file.
"""

from encoder.data.mapping.errors import MappingError
from encoder.data.mapping.loading import load_mapping, parse_mapping, preset_names
from encoder.data.mapping.mapping import Mapping
from encoder.data.mapping.records import Skipped, SkipReason, SourceRecord

__all__ = [
    "Mapping",
    "MappingError",
    "SkipReason",
    "Skipped",
    "SourceRecord",
    "load_mapping",
    "parse_mapping",
    "preset_names",
]
