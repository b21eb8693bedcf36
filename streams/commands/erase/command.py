"""`thalweg erase`: the arguments and the output."""

import argparse

from streams.broker.decoding.pseudonym_key import open_pseudonyms
from streams.commands.erase.erasure import Erasure, Sent
from streams.config.errors import InputError
from streams.config.loading import load_settings
from streams.store.session import Session

TIMEOUT_S = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("user", help="user_id of the user to erase")
    parser.add_argument(
        "--timeout",
        type=float,
        default=TIMEOUT_S,
        metavar="SECONDS",
        help=f"wait at most so long until every bundle has forgotten the user (default: {TIMEOUT_S:.0f})",
    )


def run(args: argparse.Namespace) -> int:
    """Send the erasure and wait for the proof. Returns 1 without a proof. The behaviour topic must exist."""
    if not args.timeout >= 0:
        raise InputError(f"--timeout is {args.timeout}: give a number of seconds, 0 or more")
    settings = load_settings()
    pseudonyms = open_pseudonyms(settings)
    session = Session(settings)
    try:
        erasure = Erasure(settings, session, args.user, pseudonyms)
        sent = erasure.send()
        _print_sent(args.user, settings.behavior_topic, sent)
        verdict = erasure.wait(sent, args.timeout)
    finally:
        session.close()
    for line in verdict.lines:
        print(f"  {line}")
    if verdict.is_proven:
        print(f"erase: user {args.user!r} is forgotten: no bundle holds a row from before the erasure")
        return 0
    print(
        f"erase: NOT PROVEN that user {args.user!r} is forgotten: the lines above say what is missing; run the command "
        "again afterwards"
    )
    return 1


def _print_sent(user_id: str, topic: str, sent: Sent) -> None:
    where = " and ".join(f"partition {partition} offset {offset}" for partition, offset in sent.at.items())
    if sent.rows:
        holders = ", ".join(sorted(row.bundle_id for row in sent.rows))
        why = f"rows are stored by {holders}"
    else:
        here = "this partition" if len(sent.at) == 1 else "each of these partitions"
        why = f"no row is stored; events may wait, and {sent.waiting} {here}"
    print(f"erase: the erasure of user {user_id!r} stands in {topic} {where}; {why}", flush=True)
