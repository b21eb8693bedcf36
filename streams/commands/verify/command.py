"""`thalweg verify`: the arguments and the report."""

import argparse

import msgspec

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
            f"verify: the topic was deleted and made again ({found.earlier_topics} times); users with events in an "
            "earlier topic cannot be recomputed"
        )
    for gap in found.gaps:
        print(f"verify: {gap}; the records in between are gone, so the archive of this partition is not used")
    if found.mappings:
        print(
            f"verify: workers read the topic by {', '.join(found.mappings)} in turn, and verify reads the topic by the "
            "present one; a user whose events they read differently can differ"
        )
    if found.repaired or found.deleted:
        deleted = f" and {found.deleted} rows of erased users were deleted" if found.deleted else ""
        print(f"verify: {found.repaired} rows were written{deleted}, and all users were verified again")
        if not found.is_topic_complete:
            print("verify: the first records are gone, so a written state begins with the records that are left")
    clean = "clean so far" if found.not_committed else "clean"
    verdict = clean if found.clean else f"{found.mismatched} users differ"
    waiting = (
        f"; {found.not_committed} records are not committed yet: run the command again when the workers have read them"
        if found.not_committed
        else ""
    )
    print(
        f"verify: {verdict}; {found.users} users, {found.events} events applied, "
        f"{found.already_applied} already applied, {found.dead_letters} dead letters, "
        + (f"{found.skipped} skipped by the mapping, " if found.skipped else "")
        + f"{found.erasures} erasures, largest difference {found.max_abs_diff:.1e}"
        + (f"; {found.expired} histories expired" if found.expired else "")
        + (f"; {found.expired_rows} users without a row stay away longer than allowed" if found.expired_rows else "")
        + (f"; {found.unverifiable} users began before the first record that is left" if found.unverifiable else "")
        + waiting
    )
