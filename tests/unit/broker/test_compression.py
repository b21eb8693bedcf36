"""The codecs of outputs: what the producers of this process write, and that every reader can read it."""

import random
from collections.abc import Callable

import aiokafka.codec
import kafka.codec
import pytest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from streams.broker import clients
from streams.broker.compression import gzip_encode, lz4_encode

CODES = {"gzip": 1, "lz4": 3}
PAYLOAD = b" ".join(b"view item-%d" % random.Random(3).randrange(10**6) for _ in range(9_000))


def batch(codec: str) -> bytes:
    assert clients.make_producer is not None  # the module sets the levels
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=CODES[codec],
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=2**20,
    )
    builder.append(0, 0, b"key", PAYLOAD, [])
    return bytes(builder.build())


@pytest.mark.parametrize(("codec", "encode"), [("gzip", gzip_encode), ("lz4", lz4_encode)])
def test_record_batches_are_compressed_at_the_fastest_level(codec: str, encode: Callable[[bytes], bytes]) -> None:
    written = batch(codec)
    at_level_9 = getattr(aiokafka.codec, f"{codec}_encode")(PAYLOAD)
    assert len(at_level_9) < len(written) < len(PAYLOAD) / 2
    assert abs(len(written) - len(encode(PAYLOAD))) < 200
    (record,) = DefaultRecordBatch(bytearray(written))
    assert (record.key, record.value) == (b"key", PAYLOAD)


def test_a_reader_without_further_packages_reads_gzip() -> None:
    assert kafka.codec.gzip_decode(gzip_encode(PAYLOAD)) == PAYLOAD
    assert gzip_encode(memoryview(bytearray(PAYLOAD))) == gzip_encode(PAYLOAD)
