"""What `thalweg promote` and `thalweg rollback` have in common: the check, the switch and the report."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from streams.commands.bundles.evidence import CAUGHT_UP_WITHIN_S, Readiness
from streams.commands.bundles.standing import Bundles
from streams.config.errors import InputError
from streams.store.bundles.aliases import Switch


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a command did. lacking: what spoke against the switch, which --force ignored where `switched` is true."""

    switched: bool
    bundle_id: str
    replaced: str
    lacking: Sequence[str]
    evidence: Mapping[str, Any]


def add_switch_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--force", action="store_true", help="switch although something speaks against the switch")
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")


def active_switch(bundles: Bundles) -> Switch:
    """The active bundle. Raises InputError where the keyspace has none."""
    active = bundles.aliases.active()
    if active is None:
        raise InputError(
            f"keyspace {bundles.settings.keyspace} has no active bundle: the first bundle becomes active by itself, as "
            "soon as all its item vectors are stored"
        )
    return active


def readiness(bundles: Bundles, bundle_id: str) -> Readiness:
    """Look whether a bundle could answer now. Takes up to CAUGHT_UP_WITHIN_S. Raises InputError for an unknown one."""
    record = bundles.record(bundle_id)
    is_retired = record.retirement_began_at is not None
    return Readiness(
        bundle_id=bundle_id,
        workers=bundles.workers(bundle_id),
        lag=0 if is_retired else bundles.lag_after(bundle_id, CAUGHT_UP_WITHIN_S),
        item_vectors=bundles.item_vectors(bundle_id),
        items=record.items,
        mapping=mapping_of(bundles, bundle_id),
        is_retired=is_retired,
    )


def mapping_of(bundles: Bundles, bundle_id: str) -> str | None:
    """The name by which the bundle's workers read the topic now; None where none has read."""
    return next(reversed(bundles.registry.mappings(bundle_id)), None)


def switch(
    bundles: Bundles,
    to: str,
    active: Switch,
    command: str,
    is_forced: bool,
    evidence: Mapping[str, Any],
    before: str | None,
) -> None:
    """Make a bundle the active one. Raises InputError where `thalweg retire` has begun meanwhile, and switches back.

    `retire` marks the bundle and then looks at the active one, and this function does both in the other order. So at
    least one of the two commands sees the other.
    """
    bundles.aliases.switch(to, active, command, is_forced, evidence, before)
    switched = bundles.aliases.active()
    if bundles.record(to).retirement_began_at is not None and switched is not None and switched.bundle_id == to:
        bundles.aliases.switch(active.bundle_id, switched, command, True, {"retired": to}, active.before)
        raise InputError(f"another command retires {to} in this moment: {active.bundle_id} is the active bundle again")
    bundles.aliases.drop_challenger(to)


def print_outcome(command: str, outcome: Outcome, as_json: bool) -> int:
    """Print what happened, and return the exit code: 1 where the command refused."""
    if as_json:
        print(msgspec.json.encode(outcome).decode())
        return 0 if outcome.switched else 1
    for text in outcome.lacking:
        print(f"  {'ignored: ' if outcome.switched else ''}{text}")
    if outcome.switched:
        print(
            f"{command}: {outcome.bundle_id} is the active bundle in place of {outcome.replaced}; servers that were "
            "given its folder follow within a second"
        )
        return 0
    print(f"{command}: refused, and {outcome.replaced} stays active: the lines above say why; --force ignores them")
    return 1
