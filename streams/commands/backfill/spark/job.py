"""The job of Spark: reads the archive, brings the rows of each group of users together, and steps the groups.

The tasks need the package with its extras `archive` and `spark`, and the archive at the same address. They reach
neither Kafka nor Cassandra, and get no login of either.
"""

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

from py4j.protocol import Py4JError
from pyspark import SparkConf, SparkContext, SparkFiles, StorageLevel
from pyspark.errors import PySparkException

from export.runtime.bundle import Bundle
from export.runtime.stepper import Stepper
from streams.archive.reader import ArchiveReader
from streams.commands.backfill.blocks import columns_of
from streams.commands.backfill.plan import Covered
from streams.commands.backfill.spark.groups import BLOCK_ROWS, Result, step_group
from streams.commands.backfill.spark.java import java_for_spark
from streams.commands.backfill.spark.pieces import Piece, divide, pieces_of
from streams.config.errors import SparkError

# A task holds one group at a time: 0.7 GB at most with 80,000 users (docs/backfill.md#on-spark).
RECORDS_OF_GROUP = 1_000_000
GROUPS_OF_TASK_SLOT = 4  # at least, so that the slots of a cluster end at about the same time


class SparkJob:
    """One application of Spark. Its methods block, and raise SparkError."""

    def __init__(self, master: str, bundle: Bundle, user_ttl_ms: int | None) -> None:
        """Start the application. master: as of Spark, for example `local[2]`. user_ttl_ms: as of `Processor`."""
        self._master = master
        self._user_ttl_ms = user_ttl_ms
        self._bundle = bundle
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        with self._errors(), java_for_spark():
            conf = SparkConf().setMaster(master).setAppName("thalweg backfill")
            conf.setIfMissing("spark.ui.enabled", "false").setIfMissing("spark.log.level", "ERROR")
            conf.setIfMissing("spark.ui.showConsoleProgress", str(sys.stderr.isatty()).lower())
            self._context = SparkContext(conf=conf)
        with self._errors():
            for file in sorted(path for path in bundle.path.iterdir() if path.is_file()):
                self._context.addFile(str(file))  # Spark takes a folder only where all executors run here.

    def step(self, reader: ArchiveReader, topic: str, stages: Sequence[Mapping[int, Covered]]) -> None:
        """Step the offsets of all stages. The results wait on the disks of the cluster until `close`."""
        pieces = pieces_of({partition: reader.spans(partition) for partition in reader.partitions}, stages)
        records = sum(piece.last - piece.first + 1 for piece in pieces)
        groups = max(-(-records // RECORDS_OF_GROUP), GROUPS_OF_TASK_SLOT * self._context.defaultParallelism)
        read = partial(_read, reader.files.address, columns_of(self._bundle), groups)
        step = partial(_step, self._bundle.bundle_id, topic, self._user_ttl_ms)
        with self._errors():
            chunks = self._context.parallelize(pieces, len(pieces)).flatMap(read)
            self._results: Any = chunks.groupByKey(groups, _same).flatMap(step).persist(StorageLevel.DISK_ONLY)
            self._results.count()  # `toLocalIterator` would step one group after another.

    def results(self, stage: int) -> Iterator[Result]:
        """The results of a stage, group after group."""
        with self._errors():
            yield from self._results.filter(partial(_is_of, stage)).toLocalIterator(prefetchPartitions=True)

    def close(self) -> None:
        """End the application, which deletes what the application has on disks."""
        self._context.stop()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (Py4JError, PySparkException) as error:
            raise SparkError(f"Spark at {self._master} failed: {_reason(error)}") from error


def _same(group: int) -> int:
    return group


def _is_of(stage: int, result: Result) -> bool:
    return result.stage == stage


def _read(address: str, columns: Sequence[str], groups: int, piece: Piece) -> Iterator[tuple[int, bytes]]:
    for batch in _reader(address).read(piece.partition, piece.first, piece.last, BLOCK_ROWS, [*columns, "partition"]):
        yield from divide(batch, piece.stage, groups)


def _step(bundle_id: str, topic: str, user_ttl_ms: int | None, group: tuple[int, Iterable[bytes]]) -> Iterator[Result]:
    bundle, stepper = _graphs(SparkFiles.getRootDirectory(), bundle_id)
    return step_group(bundle, stepper, topic, group[1], user_ttl_ms)


@lru_cache(maxsize=1)
def _reader(address: str) -> ArchiveReader:
    return ArchiveReader.open(address)


@lru_cache(maxsize=1)
def _graphs(folder: str, bundle_id: str) -> tuple[Bundle, Stepper]:
    bundle = Bundle.load(folder)
    assert bundle.bundle_id == bundle_id, "the application was started with this bundle"
    return bundle, Stepper(bundle, on_cpu=True)


def _reason(error: Exception) -> str:
    """The last line of the failure, which is the error of a task where a task has failed."""
    java = getattr(error, "java_exception", None)
    text = str(error) if java is None else str(java.getMessage())
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("\tat ")]
    return next((line for line in reversed(lines) if "Error: " in line), lines[0] if lines else type(error).__name__)
