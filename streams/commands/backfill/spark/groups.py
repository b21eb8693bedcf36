"""Steps the whole history of a group of users in one task. Pure but for the graph that it calls."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from export.runtime.bundle import Bundle
from streams.archive.reader import batches_of
from streams.commands.backfill.blocks import History, make_history
from streams.commands.backfill.progress import Progress
from streams.commands.backfill.rare import step_rare
from streams.commands.backfill.spark.pieces import STAGE
from streams.commands.backfill.strays import Stray
from streams.engine.arena import NO_OFFSET, Arena
from streams.engine.codec import Rejected
from streams.engine.planning.candidates import Erased
from streams.engine.planning.columns.planner import BlockPlanner
from streams.engine.planning.columns.stepping import step_lane
from streams.engine.planning.rows import Rows
from streams.engine.processor import Graphs, Processor

BLOCK_ROWS = 131_072
ROWS_OF_RESULT = 4_096  # about 8 MB
ORDER = (STAGE, "partition", "offset", "line")
NEVER = -1


class Result(NamedTuple):
    """What one stage does to some users of a group. The rejected and erased come before the rows of the stage.

    state: (n, S) float32, representation: (n, D) float32, of the n rows.
    """

    stage: int
    rejected: list[tuple[Stray, Rejected]]
    erased: list[Erased]
    rows: Rows
    state: NDArray[np.float32]
    representation: NDArray[np.float32]
    counts: Progress


def step_group(
    bundle: Bundle, graphs: Graphs, topic: str, chunks: Iterable[bytes], user_ttl_ms: int | None = None
) -> Iterator[Result]:
    """Step all rows of a group. chunks: of `pieces.divide`, in any order, without one missing. user_ttl_ms: as of
    `Processor`.

    Within a stage, partitions are stepped one after the other, as `thalweg backfill` without Spark does.
    """
    table = pa.concat_tables(pa.ipc.open_stream(chunk).read_all() for chunk in chunks).unify_dictionaries()
    table = table.combine_chunks().sort_by([(name, "ascending") for name in ORDER])
    group = _Group(bundle, graphs, topic, pc.count_distinct(table.column("user_id")).as_py(), user_ttl_ms)
    stages = table.column(STAGE).to_numpy()
    for stage in np.unique(stages).tolist():
        begin, end = np.searchsorted(stages, [stage, stage + 1]).tolist()
        yield from group.step(stage, table.slice(begin, end - begin))


class _Group:
    """The users of a group in memory, from the first stage to the last."""

    def __init__(self, bundle: Bundle, graphs: Graphs, topic: str, users: int, user_ttl_ms: int | None) -> None:
        self._bundle = bundle
        self._graphs = graphs
        self._topic = topic
        capacity = max(1, users)
        self._arena = Arena(capacity, len(bundle.initial_state), len(bundle.initial_representation))
        self._unsaved = np.zeros(capacity, np.bool_)
        self._seen = np.full(capacity, NEVER, np.int64)  # the last stage that had a record of the slot's user
        self._planner = BlockPlanner(self._arena, self._unsaved, bundle.initial_state, 1, user_ttl_ms)
        self._processor = Processor(bundle, graphs, self._arena, user_ttl_ms=user_ttl_ms)
        self._blocks = 0

    def step(self, stage: int, table: pa.Table) -> Iterator[Result]:
        """Step the rows of a stage, which are sorted by partition, offset and line."""
        rejected: list[tuple[Stray, Rejected]] = []
        erased: list[Erased] = []
        counts = Progress()
        partitions = table.column("partition").to_numpy()
        for partition in np.unique(partitions).tolist():
            begin, end = np.searchsorted(partitions, [partition, partition + 1]).tolist()
            for batch in batches_of(table.slice(begin, end - begin), BLOCK_ROWS):
                history = make_history(self._bundle, partition, batch, batch.column("offset")[-1].as_py() + 1)
                counts.add(Progress(rejected=history.rejected, skipped=history.skipped))
                if len(history.block):
                    self._step_block(stage, history, rejected, erased, counts)
        slots = np.flatnonzero(self._unsaved & (self._arena.partition >= 0))
        self._unsaved[:] = False
        for at in range(0, max(1, len(slots)), ROWS_OF_RESULT):
            part = slots[at : at + ROWS_OF_RESULT]
            user_ids = self._arena.users_at(part)
            rows = Rows.from_arena(user_ids, len(user_ids), self._arena)
            state, representation = self._arena.state[part], self._arena.representation[part]
            yield Result(stage, rejected, erased, rows, state, representation, counts)
            rejected, erased, counts = [], [], Progress()

    def _step_block(
        self,
        stage: int,
        history: History,
        rejected: list[tuple[Stray, Rejected]],
        erased: list[Erased],
        counts: Progress,
    ) -> None:
        block = history.block
        self._blocks += 1
        self._move(stage, block.user_ids, block.partition)
        planned = self._planner.plan(block, self._blocks)
        counts.add(Progress(events=planned.events, already_applied=planned.replayed))
        for lane in planned.lanes:
            step_lane(planned, lane, self._arena, self._graphs)
        if len(planned.rare):
            found = step_rare(self._processor, self._unsaved, self._topic, history, planned.rare, self._blocks)
            rejected += found.rejected
            erased += found.erased
            counts.add(found.counts)
        slots = self._arena.slots(block.user_ids)
        self._seen[slots[slots >= 0]] = stage

    def _move(self, stage: int, user_ids: list[str], partition: int) -> None:
        """A user of an earlier epoch goes on in the partition of the first record in this epoch (`Arena.insert`)."""
        slots = self._arena.slots(user_ids)
        slots = slots[slots >= 0]
        moved = slots[(self._seen[slots] < stage) & (self._arena.partition[slots] != partition)]
        self._arena.partition[moved] = partition
        self._arena.offset[moved] = NO_OFFSET
