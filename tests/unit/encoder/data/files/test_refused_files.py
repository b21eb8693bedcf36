"""Files that are refused with the remedy: no text, a column that stands twice, or a folder."""

import bz2
import gzip
import lzma
import re
from functools import partial
from pathlib import Path

import cramjam
import pytest

from encoder.data.loaders import load_log
from encoder.errors import InputError
from streams.commands.replay.log_records import LogRecords

HEADER = "user_id,item_id,action,event_time_ms"
TIME_MS = 1_700_000_000_000
# gzip writes the time into its header, and the names of the tests hold the bytes. Processes that run tests side by side
# have to find the same names.
compressed = partial(gzip.compress, mtime=0)


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        (compressed(bytes(cramjam.zstd.compress(HEADER.encode()))), "twice, the inner time with zstd: decompress"),
        (bz2.compress(HEADER.encode()), "bzip2: decompress the file with `bunzip2`"),
        (lzma.compress(HEADER.encode()), "xz: decompress the file with `unxz`"),
        (compressed(compressed(HEADER.encode())), "twice, the inner time with gzip: decompress the file once"),
        (HEADER.encode("utf-16"), "UTF-16: convert the file to UTF-8"),
        (compressed(HEADER.encode("utf-16")), "UTF-16: convert the file to UTF-8"),
        (b"\xfe\xff" + HEADER.encode("utf-16-be"), "UTF-16: convert the file to UTF-8"),
        (b"PAR1\x15\x04\x15", "a Parquet file: read the file with --format parquet"),
        (b"PK\x03\x04\x14\0", "an archive of zip: unpack the archive"),
    ],
)
@pytest.mark.parametrize("name", ["log.csv", "log.jsonl"])
def test_a_file_that_is_no_text_is_refused_with_the_remedy(
    tmp_path: Path, name: str, content: bytes, remedy: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(remedy)):
        load_log(path)
    with pytest.raises(InputError, match=re.escape(remedy)):
        LogRecords(path)


@pytest.mark.parametrize("name", ["log.csv", "log.parquet"])
def test_a_column_that_stands_twice_is_refused_where_it_is_read(tmp_path: Path, name: str) -> None:
    names = ["user_id", "item_id", "item_id", "action", "event_time_ms", "note", "note"]
    row = ["u", "i", "j", "view", TIME_MS, "a", "b"]
    path = tmp_path / name
    if name == "log.csv":
        path.write_text(f"{','.join(names)}\n{','.join(map(str, row))}\n")
    else:
        pyarrow = pytest.importorskip("pyarrow", reason="pyarrow comes with the `train` extra")
        table = pyarrow.Table.from_arrays([pyarrow.array([value]) for value in row], names=names)
        pytest.importorskip("pyarrow.parquet").write_table(table, path)
    with pytest.raises(InputError, match=r"several columns with the name item_id.*rename"):
        load_log(path)
    log, _ = load_log(path, name.split(".")[1], "item_id=user_id")
    assert log.item_ids == ["u"]


def test_a_row_or_a_header_with_escape_characters_is_shown_without_them(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f"{HEADER}\nu\t,i,view,{TIME_MS}\n\x1b[31mred\x9b\t\x07\n")
    shown = str(load_log(path)[1]).splitlines()[1]
    assert shown.endswith(": �[31mred�\t�")
    path.write_text("user\x1b[2Jid,item\n")
    with pytest.raises(InputError, match="user�"):
        load_log(path)
