"""Reads event logs from files, and yields the rows of a file as records of the behaviour topic.

The files hold the event contract as JSON Lines, Parquet or CSV, or a public dataset in the format of its publisher.
The package imports only `encoder.data` and `encoder.errors`. The package neither leaves out bots, which
`encoder.data.preparation` does, nor sends records.
"""

from encoder.data.loaders.formats import COLUMNS_HELP, FORMATS, MAPPING_HELP, format_from_name
from encoder.data.loaders.log_files import load_log, log_parts
from encoder.data.loaders.log_paths import LogPaths
from encoder.data.loaders.log_report import LogReport

__all__ = [
    "COLUMNS_HELP",
    "FORMATS",
    "MAPPING_HELP",
    "LogPaths",
    "LogReport",
    "format_from_name",
    "load_log",
    "log_parts",
]
