"""The log formats by name, and the choice of a format for a file."""

import re
from collections.abc import Callable
from pathlib import Path

from encoder.data.loaders.columns.mapping import ColumnMapping
from encoder.data.loaders.jsonl import JsonLines, MappedJsonLines
from encoder.data.loaders.mapped_records import MappedRecords
from encoder.data.loaders.public_datasets import diginetica, movielens, rees46, retailrocket, taobao, yoochoose
from encoder.data.loaders.public_datasets.otto import Otto
from encoder.data.loaders.row_batches import LogFormat
from encoder.data.loaders.tables.delimited import Delimited
from encoder.data.loaders.tables.parquet import Parquet
from encoder.data.loaders.tables.plain_csv import plain_csv
from encoder.data.mapping import load_mapping
from encoder.errors import InputError

FORMATS: dict[str, LogFormat] = {
    "csv": plain_csv(ColumnMapping()),
    "diginetica": Delimited(diginetica.layout),
    "jsonl": JsonLines(),
    "movielens": Delimited(movielens.layout),
    "otto": Otto(),
    "parquet": Parquet(ColumnMapping()),
    "rees46": Delimited(rees46.layout),
    "retailrocket": Delimited(retailrocket.layout),
    "taobao": Delimited(taobao.layout),
    "yoochoose": Delimited(yoochoose.layout),
}
_MAPPED_FORMATS: dict[str, Callable[[ColumnMapping], LogFormat]] = {
    "csv": plain_csv,
    "jsonl": MappedJsonLines,
    "parquet": Parquet,
}
_MAPPING_FORMAT = "jsonl"
_COMPRESSED = re.compile(r"\.(gz|gzip|zst)$")
COLUMNS_HELP = (
    "columns of a csv, jsonl or parquet log that are not named as in the event contract: FIELD=COLUMN,..., for example "
    "user_id=user,item_id=asin,event_time_ms=ts[s],action:=rate (one action for all rows; units: s, ms, iso; "
    "#1, #2, ... name the columns of a file without a header; attributes.NAME=COLUMN; properties.id names the field id "
    "inside properties; price= leaves an optional field out that has a column of its name)"
)
MAPPING_HELP = (
    "preset or TOML file by which each line of a jsonl log is read as a record of a topic, see docs/mapping.md; "
    "`thalweg map` proposes one"
)


def format_from_name(path: Path | str) -> str:
    """The format of a file by its name: Parquet for `.parquet`, CSV for `.csv`, otherwise JSON Lines.

    The name may end in `.gz`, `.gzip` or `.zst` in addition.
    """
    suffix = Path(_COMPRESSED.sub("", Path(path).name)).suffix
    return suffix[1:] if suffix in (".parquet", ".csv") else "jsonl"


def choose_format(path: Path | str, format: str | None, columns: str | None, mapping: str | None = None) -> LogFormat:
    """The log format for a file. format: a key of FORMATS; None chooses by the file name. columns: a column mapping.

    mapping: a preset or a file for `load_mapping`, which reads each line of JSON Lines as a record of a topic.

    Raises InputError when the format is unknown, when it takes no column mapping but one is given, and when a mapping
    is given that cannot be used.
    """
    name = format or format_from_name(path)
    if name not in FORMATS:
        raise InputError(f"unknown log format {name!r} for {path}: use one of {', '.join(FORMATS)}")
    if mapping is not None:
        if name != _MAPPING_FORMAT or columns is not None:
            what = f"columns {columns!r}" if columns is not None else f"format {name}"
            raise InputError(
                f"mapping {mapping!r} and {what} for {path}: a mapping reads {_MAPPING_FORMAT} without columns; leave "
                "--mapping out, or give JSON Lines with the records of the topic"
            )
        return MappedRecords(load_mapping(mapping))
    if columns is None:
        return FORMATS[name]
    if name not in _MAPPED_FORMATS:
        raise InputError(
            f"columns {columns!r} for {path} of format {name}: only {', '.join(_MAPPED_FORMATS)} take columns; "
            "leave --columns out, or name another format with --format"
        )
    return _MAPPED_FORMATS[name](ColumnMapping.parse(columns))
