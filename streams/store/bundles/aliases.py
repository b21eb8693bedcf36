"""Which bundle is active, which one is its challenger, and the history of switches.

The row of the active bundle holds the last switch in full, so one lightweight transaction switches and records. The
table `promotions` is the archive of that row: every command first copies the row, and a copy changes nothing where the
switch is there already. So a crash between a switch and its copy loses nothing, and the history is the table together
with the row.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from streams.config.errors import SettingsError
from streams.store.protocol.conditional import to_milliseconds, was_applied
from streams.store.session import Session

ACTIVE, CHALLENGER = "active", "challenger"
_COLUMNS = ("bundle_id", "replaced", "before", "switched_at", "command", "is_forced", "evidence")


class Switch(msgspec.Struct, frozen=True, kw_only=True):
    """A change of the active bundle. The fields are None where no command has made the bundle active.

    replaced: the bundle that was active. before: the bundle that `thalweg rollback` makes active. evidence: JSON, what
    the command found, and with is_forced what the command ignored.
    """

    bundle_id: str
    replaced: str | None = None
    before: str | None = None
    switched_at: str | None = None  # such as 2026-11-29 08:00:00.000Z
    command: str | None = None
    is_forced: bool | None = None
    evidence: str | None = None


class Aliases:
    """The tables `active_bundle` and `promotions` of one keyspace. Every method blocks, and may raise StoreError."""

    def __init__(self, session: Session, keyspace: str) -> None:
        self._session = session
        self._active = f"{keyspace}.active_bundle"
        self._promotions = f"{keyspace}.promotions"

    def active(self) -> Switch | None:
        """The active bundle with the switch that made the bundle active; None where no bundle is active."""
        return self._alias(ACTIVE)

    def challenger(self) -> str | None:
        """The bundle that runs beside the active one for a trial; None where there is none.

        A crash of a promotion may leave the bundle that has become active, which is no challenger any more.
        """
        found = self._alias(CHALLENGER)
        return None if found is None else found.bundle_id

    def set_challenger(self, bundle_id: str, seen: str | None) -> None:
        """Make the bundle the challenger. seen: what `challenger` gave, on which the decision stands.

        Raises SettingsError where another command has chosen another challenger meanwhile. Several workers of one
        challenger may start at the same time, as the pods of a StatefulSet do.
        """
        condition = f"UPDATE {self._active} SET bundle_id = %s WHERE name = %s IF bundle_id = %s"
        entered = was_applied(self._execute("enter the challenger", condition, [bundle_id, CHALLENGER, seen]))
        if not entered and self.challenger() != bundle_id:
            raise SettingsError("another command has chosen a challenger in this moment: look at `thalweg bundles`")

    def drop_challenger(self, bundle_id: str) -> None:
        """Let no bundle be the challenger, where this bundle is."""
        statement = f"DELETE FROM {self._active} WHERE name = %s IF bundle_id = %s"
        self._execute("take out the challenger", statement, [CHALLENGER, bundle_id])

    def switch(
        self, to: str, seen: Switch, command: str, is_forced: bool, evidence: Mapping[str, Any], before: str | None
    ) -> None:
        """Make a bundle the active one, in one lightweight transaction.

        seen: the switch that `active` gave, on which the decision stands. before: where a rollback leads afterwards.
        Raises SettingsError where another command has switched meanwhile. Nothing is changed then.
        """
        self.archive(seen)
        statement = (
            f"UPDATE {self._active} SET bundle_id = %s, replaced = %s, before = %s, switched_at = %s, command = %s, "
            "is_forced = %s, evidence = %s WHERE name = %s IF bundle_id = %s AND switched_at = %s"
        )
        text, seen_at = msgspec.json.encode(evidence).decode(), _time(seen.switched_at)
        at = _time_of_switch(seen, datetime.now(UTC))
        row = [to, seen.bundle_id, before, at, command, is_forced, text]
        answer = self._execute(f"make {to} the active bundle", statement, [*row, ACTIVE, seen.bundle_id, seen_at])
        switched = self.active()
        # An answer that got lost on its way leaves this command's own switch, which a second copy does not replace.
        is_own = switched is not None and (switched.bundle_id, _time(switched.switched_at)) == (to, at)
        if not was_applied(answer) and not is_own:
            raise SettingsError(
                f"{seen.bundle_id} is not the active bundle any more, because another command has switched in this "
                "moment: look at `thalweg bundles` before you run the command again"
            )
        if switched is not None:
            self.archive(switched)

    def archive(self, switch: Switch) -> None:
        """Copy a switch into the table of switches. A second copy changes nothing."""
        if switch.switched_at is None:
            return
        names = ", ".join(("name", *_COLUMNS))
        values = [getattr(switch, name) for name in _COLUMNS]
        values[_COLUMNS.index("switched_at")] = _time(switch.switched_at)
        marks = ", ".join(["%s"] * (1 + len(values)))
        statement = f"INSERT INTO {self._promotions} ({names}) VALUES ({marks})"
        self._execute("enter the switch", statement, [ACTIVE, *values])

    def history(self) -> list[Switch]:
        """All switches that commands have made, the last one first."""
        rows = self._execute("read the switches", f"SELECT JSON * FROM {self._promotions} WHERE name = %s", [ACTIVE])
        found = [msgspec.json.decode(row, type=Switch) for (row,) in rows]
        last = self.active()
        known = {one.switched_at for one in found}
        return found if last is None or last.switched_at in {None, *known} else [last, *found]

    def _alias(self, name: str) -> Switch | None:
        """The row as JSON, because a table of an earlier version lacks columns."""
        rows = self._execute(f"read the {name} bundle", f"SELECT JSON * FROM {self._active} WHERE name = %s", [name])
        return next((msgspec.json.decode(row, type=Switch) for (row,) in rows), None)

    def _execute(self, doing: str, statement: str, values: list[Any]) -> Any:
        return self._session.execute(doing, statement, values)


def before_of(history: list[Switch], bundle_id: str) -> str | None:
    """Where a rollback leads once this bundle is active again by a rollback. history: the last switch first.

    A promotion puts its bundle on top of a stack, and a rollback takes the top away. The answer is the element below
    this bundle, None for the first bundle of a keyspace.
    """
    stack: list[str | None] = []
    for one in reversed(history):
        if not stack:
            stack.append(one.replaced)
        if one.command == "promote":
            stack.append(one.bundle_id)
        else:
            stack.pop()
    below = stack[:-1]
    while below and below.pop() != bundle_id:
        pass
    return below[-1] if below else None


def _time_of_switch(seen: Switch, now: datetime) -> datetime:
    """The present time, or a millisecond after the switch before, where another machine's clock was ahead.

    The history is ordered by these times.
    """
    last = _time(seen.switched_at)
    now = to_milliseconds(now)
    return now if last is None else max(now, last + timedelta(milliseconds=1))


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
