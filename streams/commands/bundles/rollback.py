"""`thalweg rollback`: makes the bundle the active one that the last promotion has replaced."""

import argparse

import msgspec

from streams.commands.bundles.evidence import lacking_readiness
from streams.commands.bundles.standing import Bundles, open_bundles
from streams.commands.bundles.switching import (
    Outcome,
    active_switch,
    add_switch_arguments,
    mapping_of,
    print_outcome,
    readiness,
    switch,
)
from streams.config.errors import InputError
from streams.config.loading import load_settings
from streams.store.bundles.aliases import before_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_switch_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Roll back. Returns 1 where the bundle before is not ready and there is no --force."""
    with open_bundles(load_settings(), "rollback") as bundles:
        outcome = rollback(bundles, args.force)
    return print_outcome("rollback", outcome, args.json)


def rollback(bundles: Bundles, is_forced: bool) -> Outcome:
    """Make the bundle before the active one.

    Raises InputError where no bundle was active before, or where that bundle was retired.
    """
    active = active_switch(bundles)
    if active.before is None:
        raise InputError(f"no bundle was promoted before {active.bundle_id}, so there is none to go back to")
    ready = readiness(bundles, active.before)
    lacking = list(lacking_readiness(ready, active.bundle_id, mapping_of(bundles, active.bundle_id)))
    if ready.is_retired:
        raise InputError(f"{lacking[0]}: promote another bundle")
    evidence = {"readiness": msgspec.to_builtins(ready), "ignored": lacking}
    is_switched = is_forced or not lacking
    if is_switched:
        before = before_of(bundles.aliases.history(), active.before)
        switch(bundles, active.before, active, "rollback", bool(lacking), evidence, before)
    return Outcome(
        switched=is_switched, bundle_id=active.before, replaced=active.bundle_id, lacking=lacking, evidence=evidence
    )
