"""How aiokafka compresses record batches: gzip and lz4 at their fastest level.

aiokafka gives no choice of a level. It compresses with gzip and with lz4 at level 9, which costs 5 to 12 times the CPU
of level 1 (docs/decisions.md#compression-codec). The functions below take the place of the functions that aiokafka's
builder of record batches calls. Every reader of a codec reads every level.
"""

import sys
from typing import Any

import aiokafka.codec
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from isal import isal_zlib

LEVEL = 1
GZIP_MEMBER = 31  # zlib's number for the largest window and a member of a gzip file


def gzip_encode(payload: Any) -> bytes:
    """Compress bytes as one member of a gzip file (RFC 1952). isal takes a quarter of the CPU of Python's zlib."""
    return bytes(isal_zlib.compress(payload, LEVEL, GZIP_MEMBER))


def lz4_encode(payload: Any) -> bytes:
    """Compress bytes as one lz4 frame."""
    return bytes(aiokafka.codec.lz4_encode(payload, level=LEVEL))


def use_fastest_levels() -> None:
    """Let the producers of this process compress with the functions of this module."""
    builder: Any = sys.modules[DefaultRecordBatchBuilder.__module__]
    builder.gzip_encode, builder.lz4_encode = gzip_encode, lz4_encode
