"""The bundle that answers: the active one of Cassandra, among the bundles whose folders were given."""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from export.runtime.bundle import Bundle
from export.runtime.predictions import Predictions
from export.runtime.stepper import Stepper
from streams.config.errors import SettingsError, StoreError
from streams.serve.http.problems import ProblemError, unavailable
from streams.serve.scoring.batcher import Batcher
from streams.serve.scoring.item_index import MOST_EXACT, ItemIndex, faiss
from streams.serve.scoring.scorer import Scored, Scorer, TopQuery
from streams.store.registry import Registry
from streams.store.served_rows import ServedRow, ServedRows
from streams.store.session import Session

logger = logging.getLogger(__name__)

T = TypeVar("T")
StoredId = Callable[[str], str]

LOOK_EVERY_S = 0.5  # between two looks at the active bundle, so that a switch counts within a second
LOOK_TIMEOUT_S = 3.0
MAKE_AGAIN_S = 5.0  # after the models that could not be made, such as that of a bundle that no worker has served yet
READ_TIMEOUT_S = 3.0  # A pause of a second on a machine without a free processor fails no request.
USERS_PER_READ, QUERIES_PER_PASS = 100, 32


class Model:
    """One bundle with what is needed to answer from the bundle. An answer uses one model from begin to end."""

    def __init__(
        self, bundle: Bundle, session: Session, keyspace: str, threads: Executor, stored_id: StoredId = str
    ) -> None:
        """stored_id: the id under which a user is stored, by the id that a caller gives. Blocks. Raises StoreError."""
        self.stored_id = stored_id
        self.bundle = bundle
        self.bundle_id = bundle.bundle_id
        self._rows = ServedRows(session, keyspace, bundle)  # first: without tables, a model is not made in vain
        self.scorer = Scorer(bundle)
        self.stepper = Stepper(bundle, on_cpu=True)
        self._threads = threads
        self._long = asyncio.Lock()
        self._reads: Batcher[str, ServedRow | None] = Batcher(self._read_rows, USERS_PER_READ)
        self._passes: Batcher[TopQuery, Scored] = Batcher(self._top, QUERIES_PER_PASS)
        self._foreseen: Batcher[NDArray[np.float32], Predictions] = Batcher(self._foresee, QUERIES_PER_PASS)

    async def row(self, user_id: str) -> ServedRow | None:
        """The stored row of a user, None where the user is unknown.

        Raises ProblemError where Cassandra does not answer.
        """
        return await _answered(self._reads.submit(self.stored_id(user_id)))

    async def rows(self, user_ids: Sequence[str]) -> list[ServedRow | None]:
        """The stored rows of these users, in order. Raises ProblemError as `row` does.

        The rows are read past the batches of single users, which would wait behind a thousand users.
        """
        found: list[ServedRow | None] = []
        stored = [self.stored_id(user_id) for user_id in user_ids]
        for start in range(0, len(stored), USERS_PER_READ):
            found += await _answered(self._read_rows(stored[start : start + USERS_PER_READ]))
        return found

    async def top(self, wanted: TopQuery) -> Scored:
        """The best items for a query."""
        return await self._passes.submit(wanted)

    async def foresee(self, query: NDArray[np.float32]) -> Predictions:
        """What the heads predict after a (Q,) query, as arrays with one row."""
        return await self._foreseen.submit(query)

    async def similar(
        self, item: int, count: int, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The result of `Scorer.similar`."""
        return await self.compute(self.scorer.similar, item, count, allowed)

    async def compute(self, call: Callable[..., T], *arguments: object) -> T:
        """Call a function beside the event loop. Raises what the function raises."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)

    async def compute_long(self, call: Callable[..., T], *arguments: object) -> T:
        """Call a function that may take long, one at a time and past the passes over the items.

        Raises what the function raises.
        """
        async with self._long:
            return await asyncio.to_thread(call, *arguments)

    async def _read_rows(self, user_ids: Sequence[str]) -> list[ServedRow | None]:
        async with asyncio.timeout(READ_TIMEOUT_S):
            found = await self._rows.read(list(dict.fromkeys(user_ids)))
        return [found.get(user_id) for user_id in user_ids]

    async def _top(self, wanted: Sequence[TopQuery]) -> list[Scored]:
        return await self.compute(self.scorer.top, wanted)

    async def _foresee(self, queries: Sequence[NDArray[np.float32]]) -> list[Predictions]:
        """The graph ranks an item besides, which the worker needs and nobody here: item 0 has no rank."""
        no_item = np.zeros(len(queries), np.int64)
        predicted = await self.compute(self.stepper.predict, np.stack(queries), no_item)
        return [predicted.at(np.array([place])) for place in range(len(queries))]


async def _answered(reading: Awaitable[T]) -> T:
    """Wait for a read of Cassandra. Raises ProblemError where Cassandra does not answer."""
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            return await reading
    except TimeoutError:
        raise unavailable(f"Cassandra did not answer within {READ_TIMEOUT_S:g} s; try again") from None
    except StoreError as error:
        raise unavailable(f"Cassandra refused a read: {error}") from None


class _Given(NamedTuple):
    """A bundle that was given, and its model once the model is made."""

    bundle: Bundle
    model: Model | None


def make_index(model: Model) -> None:
    """Make the index of a model's items. The model answers exactly until then, and also where the index fails."""
    items, began_s = model.bundle.manifest.items, time.monotonic()
    try:
        model.scorer.index = ItemIndex(model.scorer.vectors)
    except Exception:  # An answer without an index is right, so no fault of the index may end the server.
        logger.exception(
            "the index of the %d items of %s cannot be made, and answers stay exact", items, model.bundle_id
        )
        return
    took_s = time.monotonic() - began_s
    logger.info(
        "the index of the %d items of %s took %.1f s, and proposes items from now on", items, model.bundle_id, took_s
    )


def can_index(bundles: Sequence[Bundle]) -> bool:
    """Whether faiss is installed, with a warning where a bundle needs faiss."""
    largest = max((bundle.manifest.items for bundle in bundles), default=0)
    if largest <= MOST_EXACT:
        return False
    try:
        faiss()
    except SettingsError as error:
        logger.warning(
            "a bundle has %d items, and an answer takes a pass over all of them; with over %d, an index is faster: %s",
            largest,
            MOST_EXACT,
            error,
        )
        return False
    return True


class ActiveModel:
    """Follows the active bundle of a keyspace."""

    def __init__(
        self,
        bundles: Sequence[Bundle],
        session: Session,
        keyspace: str,
        threads: Executor,
        stored_id: StoredId = str,
    ) -> None:
        """stored_id: as of `Model`."""
        self._stored_id = stored_id
        self._given = {bundle.bundle_id: _Given(bundle, None) for bundle in bundles}
        self._failed: set[str] = set()  # bundles of which the log says that the model cannot be made
        self._making = asyncio.Lock()
        self._session = session
        self._keyspace = keyspace
        self._threads = threads
        self._registry = Registry(session, keyspace)
        self._active_id: str | None = None
        self._can_index = can_index(bundles)

    def current(self) -> Model:
        """The model that answers now. Raises ProblemError where no given bundle is the active one."""
        given = self._given.get(self._active_id or "")
        if given is not None and given.model is not None:
            return given.model
        if given is not None:
            raise unavailable(f"the active bundle {self._active_id} cannot be loaded; the server's log has the reason")
        names = ", ".join(self._given)
        if self._active_id is None:
            raise unavailable(
                f"keyspace {self._keyspace} has no active bundle yet: a worker makes its bundle ({names}) the active "
                "one as soon as all item vectors are stored"
            )
        raise ProblemError(
            503,
            "other-bundle",
            "Another bundle is active",
            f"the active bundle is {self._active_id}, and this server was given {names}: start the server with the "
            "folder of the active bundle as well",
            {"Retry-After": "1"},
        )

    async def look(self) -> None:
        """Look once which bundle is active, and make the model where there is none. Raises StoreError, TimeoutError.

        Where the model cannot be made, the bundle that was active before answers on.
        """
        async with asyncio.timeout(LOOK_TIMEOUT_S):  # not of the model, which may take longer for a large bundle
            active_id = await self._registry.active()
        given = self._given.get(active_id or "")
        is_made = given is None or given.model is not None or await self._make(given.bundle.bundle_id)
        if not is_made and self._active_id in self._given:
            return
        if active_id != self._active_id:
            if active_id is None or given is not None:
                logger.info("the active bundle is %s", active_id)
            else:
                logger.warning("the active bundle is %s, and this server was not given its folder", active_id)
        self._active_id = active_id

    async def follow(self) -> None:
        """Look again and again, until cancelled, and make the models of all given bundles beside."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._look_again())
            tasks.create_task(self._make_all())

    async def _look_again(self) -> None:
        """Cassandra may be away for a while."""
        told = ""
        while True:
            failure = ""
            try:
                await self.look()
            except (StoreError, TimeoutError) as error:
                failure = str(error) or f"no answer within {LOOK_TIMEOUT_S:g} s"
            if failure and failure != told:
                logger.warning("the active bundle cannot be read: %s", failure)
            told = failure
            await asyncio.sleep(LOOK_EVERY_S)

    async def _make_all(self) -> None:
        """Make the models of the other bundles as well, so that a switch to a large bundle counts as soon."""
        while left := [bundle_id for bundle_id, given in self._given.items() if given.model is None]:
            if self._active_id is None:  # The model of the active bundle comes first.
                await asyncio.sleep(LOOK_EVERY_S)
                continue
            for bundle_id in left:
                with contextlib.suppress(StoreError):  # A bundle that no worker has served yet may have no tables.
                    await self._make(bundle_id)
            await asyncio.sleep(MAKE_AGAIN_S)

    async def _make(self, bundle_id: str) -> bool:
        """Make the model of a given bundle, once. Returns whether there is a model. Raises StoreError."""
        async with self._making:
            given = self._given[bundle_id]
            if given.model is not None:
                return True
            arguments = (given.bundle, self._session, self._keyspace, self._threads, self._stored_id)
            try:
                made = await asyncio.to_thread(Model, *arguments)
            except StoreError:
                raise
            except Exception:  # A folder that was moved or a damaged graph must not end the looks.
                if bundle_id not in self._failed:
                    logger.exception(
                        "bundle %s cannot be loaded from %s, and is tried again", bundle_id, given.bundle.path
                    )
                self._failed.add(bundle_id)
                return False
            self._given[bundle_id] = _Given(given.bundle, made)
        if self._can_index and given.bundle.manifest.items > MOST_EXACT:
            # A daemon, because the end of the server does not wait for an index.
            threading.Thread(target=make_index, args=(made,), name="index", daemon=True).start()
        return True
