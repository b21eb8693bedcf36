"""The right of one program to apply a migration. Other programs wait, and take over where the program has ended."""

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from streams.config.errors import RightsError, StoreError
from streams.store.migrations.migrations import MIGRATIONS_TABLE, Migration
from streams.store.protocol.conditional import to_milliseconds, was_applied

logger = logging.getLogger(__name__)

POLL_S = 0.2  # between looks at a migration that another program applies
RENEWED_EVERY_S = 2.0
# The owner may be slow to renew, because a lightweight transaction on a busy cluster takes seconds.
ABANDONED_AFTER_S = 30.0

Execute = Callable[[str, Sequence[Any] | None], Any]


class MigrationClaim:
    """A row of the table of migrations, with the time at which its owner last said that the owner works.

    Every statement is conditional, because Cassandra orders the conditional writes of a row among themselves alone. A
    waiting program measures with its own clock how long the row has stayed the same, so that the clocks of two machines
    may differ.
    """

    def __init__(self, execute: Execute, keyspace: str, name: str, migration: Migration) -> None:
        """execute: executes a CQL statement with its values. Blocks. Raises StoreError, RightsError.

        name: `keyspace` for the migrations of the keyspace, another name for tables that belong to no migration.
        """
        self._execute = execute
        self._migration = migration
        self._table = f"{keyspace}.{MIGRATIONS_TABLE}"
        self._name = name
        self._key = f"WHERE name = '{name}' AND number = {migration.number}"
        self._steps: set[datetime] = set()  # times that this program has sent

    def take(self) -> bool:
        """Wait until the claim is this program's. False where another program has applied the migration. Blocks."""
        seen, since_s = None, 0.0
        while True:
            found = self._found()
            if found is None:
                if self._insert():
                    return True
                continue
            began_at, is_applied = found
            if is_applied:
                return False
            if began_at in self._steps:  # Cassandra has taken the claim without saying so.
                return True
            if began_at != seen:
                seen, since_s = began_at, time.monotonic()
            elif time.monotonic() - since_s > ABANDONED_AFTER_S:
                logger.warning("another program began to make %s and has not ended", self._migration.what)
                with contextlib.suppress(StoreError):  # Cassandra may not know the outcome, and the next look tells.
                    self._replace(began_at)
                continue
            time.sleep(POLL_S)

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Say every RENEWED_EVERY_S that this program still works. An error gives the claim up.

        Another program may have more rights, and need not wait then.
        """
        ended = threading.Event()
        thread = threading.Thread(target=self._renew_until, args=[ended], name="migration-claim", daemon=True)
        thread.start()
        try:
            yield
        except (StoreError, RightsError):
            ended.set()
            thread.join()  # A renewal at this moment would keep the claim.
            with contextlib.suppress(StoreError, RightsError):  # The first error says what is wrong.
                self.give_up()
            raise
        finally:
            ended.set()
            thread.join()

    def holds(self) -> bool:
        """Whether this program still has the claim. A program that stood still has lost the claim to another one."""
        return self._own() is not None

    def end(self) -> None:
        """Say that the migration is applied."""
        self._execute(f"UPDATE {self._table} SET applied_at = %s {self._key} IF EXISTS", [datetime.now(UTC)])

    def give_up(self) -> None:
        """Delete the claim, unless another program has taken the claim over."""
        own = self._own()
        if own is not None:
            self._execute(f"DELETE FROM {self._table} {self._key} IF began_at = %s AND applied_at = NULL", [own])

    def _renew_until(self, ended: threading.Event) -> None:
        while not ended.wait(RENEWED_EVERY_S):
            try:
                own = self._own()
                if own is not None:
                    self._replace(own)
            except (StoreError, RightsError) as error:  # The next renewal may succeed.
                logger.info("the claim on %s was not renewed: %s", self._migration.what, error)

    def _insert(self) -> bool:
        one = self._migration
        statement = (
            f"INSERT INTO {self._table} (name, number, what, works_with, began_at) VALUES (%s, %s, %s, %s, %s) "
            "IF NOT EXISTS"
        )
        values = [self._name, one.number, one.what, one.works_with, self._next_step()]
        return was_applied(self._execute(statement, values))

    def _replace(self, began_at: datetime) -> None:
        """Replace the time in the row. Changes nothing where another program has replaced the time."""
        statement = f"UPDATE {self._table} SET began_at = %s {self._key} IF began_at = %s AND applied_at = NULL"
        self._execute(statement, [self._next_step(), began_at])

    def _next_step(self) -> datetime:
        step = _step()
        self._steps.add(step)
        return step

    def _own(self) -> datetime | None:
        """The time in the row, where this program has the claim and has not ended."""
        found = self._found()
        return found[0] if found is not None and found[0] in self._steps and not found[1] else None

    def _found(self) -> tuple[datetime, bool] | None:
        """The time of the last step, and whether the migration is applied. None without a claim."""
        row = self._execute(f"SELECT began_at, applied_at FROM {self._table} {self._key}", None).one()
        return None if row is None else (row[0].replace(tzinfo=UTC), row[1] is not None)


def _step() -> datetime:
    """The present time, give or take a minute. Two programs that start together then do not take the same time."""
    return to_milliseconds(datetime.now(UTC) + timedelta(seconds=random.uniform(-60.0, 60.0)))
