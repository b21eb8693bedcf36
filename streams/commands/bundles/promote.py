"""`thalweg promote`: makes a bundle the active one, where the evidence shows that the bundle is ready and better."""

import argparse
import time

import msgspec

from encoder.lineage import Dataset, lineage
from streams.commands.bundles.comparison import latest_comparison
from streams.commands.bundles.evidence import lacking_comparison, lacking_readiness
from streams.commands.bundles.standing import Bundles, named_bundle, open_bundles
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", metavar="NEW", help="id or folder of the bundle that is to answer")
    add_switch_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Promote the bundle. Returns 1 where the evidence lacks something and there is no --force."""
    settings, new = load_settings(), named_bundle(args.bundle)
    host, table = settings.cassandra.partition(",")[0], f"{settings.keyspace}.active_bundle"
    compared = Dataset.of_topic(settings.broker, settings.comparisons_topic)
    with lineage("promote", [compared], [Dataset.of_table(host, table, version=new)]) as told:
        with open_bundles(settings, "promote") as bundles:
            outcome = promote(bundles, new, args.force)
        if not outcome.switched:
            told.outputs = []
    return print_outcome("promote", outcome, args.json)


def promote(bundles: Bundles, new: str, is_forced: bool) -> Outcome:
    """Make the bundle the active one in one lightweight transaction, and enter the evidence into the history.

    Raises InputError for a bundle that is unknown, active or retired, which no force makes able to answer.
    """
    active = active_switch(bundles)
    if active.bundle_id == new:
        raise InputError(f"{new} is the active bundle already")
    ready = readiness(bundles, new)
    found = latest_comparison(bundles.settings, active.bundle_id, new)
    lacking = [
        *lacking_readiness(ready, active.bundle_id, mapping_of(bundles, active.bundle_id)),
        *([] if ready.is_retired else lacking_comparison(found, active.bundle_id, new, int(time.time() * 1000))),
    ]
    if ready.is_retired:
        raise InputError(lacking[0])
    evidence = {"readiness": msgspec.to_builtins(ready), "comparison": msgspec.to_builtins(found), "ignored": lacking}
    is_switched = is_forced or not lacking
    if is_switched:
        switch(bundles, new, active, "promote", bool(lacking), evidence, before=active.bundle_id)
    return Outcome(switched=is_switched, bundle_id=new, replaced=active.bundle_id, lacking=lacking, evidence=evidence)
