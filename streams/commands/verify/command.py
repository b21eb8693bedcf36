"""`thalweg verify`: the arguments and the report."""

import argparse

import msgspec

from encoder.wording import counted
from export.runtime.bundle import Bundle
from streams.archive.opening import open_reader
from streams.commands.verify.result import Verification
from streams.commands.verify.verification import verify
from streams.config.loading import load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", help="folder of the bundle (default: the setting `bundle`)")
    parser.add_argument(
        "--repair", action="store_true", help="write the rows of users that differ; all workers must be stopped"
    )
    parser.add_argument(
        "--archive",
        metavar="ADDRESS",
        help="archive of the topic (thalweg archive), for records that retention deleted",
    )
    parser.add_argument(
        "--accept",
        action="store_true",
        help="let workers go on from the group's commits, also where rows lack records; all workers must be stopped",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")


def run(args: argparse.Namespace) -> int:
    """Verify all users and print the result. Returns 1 when a user differs."""
    settings = load_settings()
    bundle = Bundle.load(settings.bundle_folder(args.bundle))
    archive = None if args.archive is None else open_reader(args.archive)
    verification = verify(settings, bundle, args.repair, archive, args.accept)
    if args.json:
        print(msgspec.json.encode(verification).decode())
    else:
        print_report(verification)
    if args.accept and not args.json:
        print("verify: workers of the bundle go on from the commits of their group")
    return 0 if verification.clean else 1


def print_report(found: Verification) -> None:
    """Print the differences, then one line with the counts."""
    for text in found.mismatches:
        print(f"  {text}")
    if found.mismatched > len(found.mismatches):
        print(f"  and {found.mismatched - len(found.mismatches)} more")
    if found.earlier_topics:
        print(
            f"verify: the topic was deleted and made again ({counted(found.earlier_topics, 'time')}); users with "
            "events in an earlier topic cannot be recomputed"
        )
    for gap in found.gaps:
        print(f"verify: {gap}; the records in between are gone, so the archive of this partition is not used")
    if found.mappings:
        print(
            f"verify: workers read the topic by {', '.join(found.mappings)} in turn, and verify reads the topic by the "
            "present one; a user whose events they read differently can differ"
        )
    if found.repaired or found.deleted:
        erased = counted(found.deleted, "row of an erased user was", "rows of erased users were")
        deleted = f" and {erased} deleted" if found.deleted else ""
        written = counted(found.repaired, "row was", "rows were")
        print(f"verify: {written} written{deleted}, and all users were verified again")
        if not found.is_topic_complete:
            print("verify: the first records are gone, so a written state begins with the records that are left")
    clean = "clean so far" if found.not_committed else "clean"
    verdict = clean if found.clean else counted(found.mismatched, "user differs", "users differ")
    waiting = (
        f"; {counted(found.not_committed, 'record is', 'records are')} not committed yet: run the "
        "command again when the workers have read on"
        if found.not_committed
        else ""
    )
    absent = counted(found.expired_rows, "user without a row stays", "users without a row stay")
    print(
        f"verify: {verdict}; {counted(found.users, 'user')}, {counted(found.events, 'event')} applied, "
        f"{found.already_applied:,} already applied, {counted(found.dead_letters, 'dead letter')}, "
        + (f"{found.skipped:,} skipped by the mapping, " if found.skipped else "")
        + f"{counted(found.erasures, 'erasure')}, largest difference {found.max_abs_diff:.1e}"
        + (f"; {counted(found.expired, 'history', 'histories')} expired" if found.expired else "")
        + (f"; {absent} away longer than allowed" if found.expired_rows else "")
        + (
            f"; {counted(found.unverifiable, 'user')} began before the first record that is left"
            if found.unverifiable
            else ""
        )
        + waiting
    )
