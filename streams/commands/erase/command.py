"""`thalweg erase`: the arguments and the output."""

import argparse
import contextlib
import time
from pathlib import Path

import msgspec

from streams.archive.opening import open_reader
from streams.broker.decoding.pseudonym_key import open_pseudonyms
from streams.commands.erase.erasure import LOOK_EVERY_S, Erasure, Sent
from streams.commands.erase.proof import Verdict
from streams.commands.erase.receipt import Receipt, make_receipt, with_archive, without_archive
from streams.commands.erase.retention import read_retention
from streams.commands.subject.archived import remove_from_archive
from streams.commands.subject.subject import gather
from streams.config.errors import InputError, StoreError, ThalwegError
from streams.config.loading import load_settings
from streams.config.settings import Settings
from streams.store.bundles.subject_rows import SubjectRows
from streams.store.cql_schema import PENDING_ERASURES_TABLE
from streams.store.session import Session

TIMEOUT_S = 60.0
COMMITTED_WITHIN_S = 5.0  # a worker looks every second which erasures are committed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("user", help="user_id of the user to erase")
    parser.add_argument(
        "--timeout",
        type=float,
        default=TIMEOUT_S,
        metavar="SECONDS",
        help=f"wait at most so long until every bundle has forgotten the user (default: {TIMEOUT_S:.0f})",
    )
    parser.add_argument(
        "--receipt",
        metavar="FILE",
        help="write what was deleted, and what holds data of the user until when, into this file as JSON, once the "
        "erasure is proven",
    )
    parser.add_argument(
        "--archive",
        metavar="ADDRESS",
        help="remove the user from this archive too, once the erasure is proven; needs --receipt or --json",
    )
    parser.add_argument("--json", action="store_true", help="print the receipt, whether or not the erasure is proven")


def run(args: argparse.Namespace) -> int:
    """Send the erasure and wait for the proof. Returns 1 without a proof. The behaviour topic must exist."""
    if not args.timeout >= 0:
        raise InputError(f"--timeout is {args.timeout}: give a number of seconds, 0 or more")
    if args.receipt and not Path(args.receipt).parent.is_dir():  # Nothing is sent before the receipt can be written.
        raise InputError(f"--receipt {args.receipt}: there is no folder {Path(args.receipt).parent}")
    if args.archive:
        if not (args.receipt or args.json):
            raise InputError("--archive needs --receipt FILE or --json, which say what was removed and what is left")
        open_reader(args.archive)  # Nothing is sent where there is no archive.
    settings = load_settings()
    pseudonyms = open_pseudonyms(settings)
    session = Session(settings)
    try:
        erasure = Erasure(settings, session, args.user, pseudonyms)
        sent = erasure.send()
        if not args.json:
            _print_sent(args.user, settings.behavior_topic, sent)
        verdict = erasure.wait(sent, args.timeout)
        is_wanted = args.json or (args.receipt and verdict.is_proven)
        stored_id = args.user if pseudonyms is None else pseudonyms.stored(args.user)
        receipt = _receipt(settings, session, args, stored_id, sent, verdict) if is_wanted else None
    finally:
        session.close()
    _report(args, verdict, receipt)
    return 0 if verdict.is_proven and (receipt is None or receipt.archive_error is None) else 1


def _receipt(
    settings: Settings, session: Session, args: argparse.Namespace, stored_id: str, sent: Sent, verdict: Verdict
) -> Receipt:
    """Look at what is left of the user in all partitions, clean the archive, and make the receipt.

    stored_id: the user's id in tables and archives.
    """
    tables = SubjectRows(session, settings.keyspace)
    _wait_for_commits(tables, stored_id)
    left = gather(settings, args.user, {}, all_partitions=True)
    topics = (
        settings.behavior_topic,
        settings.evaluation_topic,
        settings.dead_letter_topic,
        settings.predictions_topic,
        *left.updates_topics,
    )
    gc_grace_s, retention = tables.gc_grace_s(), read_retention(settings, topics)
    receipt = make_receipt(settings, sent.at, sent.rows, verdict, left, retention, gc_grace_s)
    if not args.archive:
        return receipt
    if not verdict.is_proven:
        return without_archive(receipt, args.archive, "the erasure is not proven")
    try:
        removal = remove_from_archive(settings, args.archive, stored_id, sent.at, left.events)
        return with_archive(receipt, args.archive, removal)
    except ThalwegError as error:
        return without_archive(receipt, args.archive, str(error))


def _wait_for_commits(tables: SubjectRows, stored_id: str) -> None:
    """Wait a moment until workers have taken out the entry of the erasure. The receipt names an entry that is left."""
    give_up_at_s = time.monotonic() + COMMITTED_WITHIN_S
    with contextlib.suppress(StoreError):  # without the right on the table, which the receipt says
        while tables.read(PENDING_ERASURES_TABLE, stored_id) and time.monotonic() < give_up_at_s:
            time.sleep(LOOK_EVERY_S)


def _report(args: argparse.Namespace, verdict: Verdict, receipt: Receipt | None) -> None:
    document = "" if receipt is None else msgspec.json.format(msgspec.json.encode(receipt), indent=2).decode()
    if args.receipt and verdict.is_proven:
        try:
            Path(args.receipt).write_text(document + "\n")
        except OSError as error:
            raise InputError(
                f"the erasure is proven, and --receipt {args.receipt} cannot be written: {error.strerror}; run the "
                "command again with another file"
            ) from error
    if args.json:
        print(document)
        return
    for line in verdict.lines:
        print(f"  {line}")
    if verdict.is_proven:
        print(f"erase: user {args.user!r} is forgotten: no bundle holds a row from before the erasure")
        if args.receipt:
            print(f"erase: the receipt stands in {args.receipt}")
        if receipt is not None and receipt.archive_error is not None:
            print(f"erase: NOT REMOVED from archive {args.archive}: {receipt.archive_error}; run the command again")
        return
    print(
        f"erase: NOT PROVEN that user {args.user!r} is forgotten: the lines above say what is missing; run the command "
        "again afterwards"
    )


def _print_sent(user_id: str, topic: str, sent: Sent) -> None:
    where = " and ".join(f"partition {partition} offset {offset}" for partition, offset in sent.at.items())
    if sent.rows:
        holders = ", ".join(sorted(row.bundle_id for row in sent.rows))
        why = f"rows are stored by {holders}"
    else:
        here = "this partition" if len(sent.at) == 1 else "each of these partitions"
        why = f"no row is stored; events may wait, and {sent.waiting} {here}"
    print(f"erase: the erasure of user {user_id!r} stands in {topic} {where}; {why}", flush=True)
