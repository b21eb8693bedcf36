"""The arguments of commands that read an event log, and how these commands read the log."""

import argparse
from typing import Any

from rich.console import Console

from encoder.commands.number_arguments import share, whole_number
from encoder.data.event_log import EventLog
from encoder.data.loaders import COLUMNS_HELP, FORMATS, MAPPING_HELP, LogPaths, LogReport, load_log
from encoder.data.preparation import Preparation, PreparationReport, prepare
from encoder.errors import InputError

LOG_HELP = "files, folders or globs; several are one log"
MAX_UNPARSABLE = 0.01  # share of the rows of a log; a log that is read rightly has a few broken rows at most


class TakeLog(argparse.Action):
    """Stores the values as `LogPaths`, or None without values."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, LogPaths(values) if values else None)


def add_log_arguments(parser: argparse.ArgumentParser) -> None:
    """Add LOG, its format, and the part of the log to use."""
    parser.add_argument("log", nargs="+", metavar="LOG", action=TakeLog, help=f"event log: {LOG_HELP}")
    add_part_arguments(parser)


def add_part_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the format of an event log, and the part of the log to use."""
    add_format_arguments(parser)
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--first", type=share, metavar="FRACTION", help="use only this first part of the log, in time")
    part.add_argument("--rest", type=share, metavar="FRACTION", help="use only the events after this first part")


def add_format_arguments(parser: argparse.ArgumentParser, log: str = "the log") -> None:
    """Add the format of an event log and the names of its columns. log: the name of the log in the help."""
    text = f"format of {log}; by default the file name decides: parquet, csv or jsonl"
    parser.add_argument("--format", choices=FORMATS, help=text)
    names = parser.add_mutually_exclusive_group()
    names.add_argument("--columns", metavar="FIELD=COLUMN,...", help=COLUMNS_HELP)
    names.add_argument("--mapping", metavar="PRESET|FILE", help=MAPPING_HELP)


def add_preparation_arguments(parser: argparse.ArgumentParser, defaults: Preparation) -> None:
    """Add the options of the preparation."""
    parser.add_argument(
        "--drop-repeats",
        action=argparse.BooleanOptionalAction,
        default=defaults.drop_repeats,
        help="leave out events with the user, item, action and time of an earlier event",
    )
    bound = defaults.max_events_per_day or 0
    parser.add_argument(
        "--max-events-per-day",
        type=whole_number(0),
        default=bound,
        metavar="N",
        help=f"leave out users with more events in any 24 hours, as bots; 0: leave out nobody (default {bound})",
    )
    parser.add_argument(
        "--sample-users",
        type=share,
        default=1.0,
        metavar="SHARE",
        help="keep the events of this share of the users, whom a hash of the user id chooses (default 1)",
    )
    shortest = defaults.min_user_events
    parser.add_argument(
        "--min-user-events",
        type=whole_number(1),
        default=shortest,
        metavar="N",
        help=f"leave out users with fewer events (default {shortest})",
    )


def add_max_unparsable_argument(parser: argparse.ArgumentParser) -> None:
    """Add the share of unparsable rows that a log may have."""
    parser.add_argument(
        "--max-unparsable",
        type=share,
        default=MAX_UNPARSABLE,
        metavar="SHARE",
        help="stop when more than this share of the rows are no events, because the log is then mostly misread "
        f"(default {MAX_UNPARSABLE})",
    )


def add_threads_argument(parser: argparse.ArgumentParser) -> None:
    """Add the number of threads."""
    parser.add_argument(
        "--threads",
        type=whole_number(1),
        default=1,
        metavar="N",
        help="cores to use; several are faster with many items",
    )


def read_whole_log(
    args: argparse.Namespace, paths: LogPaths, console: Console, *, for_model: bool = True
) -> tuple[EventLog, LogReport]:
    """Read a log as the arguments say, and print the report on the rows. for_model: as for `load_log`.

    Raises InputError when a larger share of the rows than --max-unparsable are no events. A command without this option
    takes any share.
    """
    limit = getattr(args, "max_unparsable", 1.0)
    sampled = getattr(args, "sample_users", 1.0)
    log, report = load_log(
        paths, args.format, args.columns, for_model=for_model, sample_users=sampled, mapping=args.mapping
    )
    check_unparsable(report, limit, paths, console)
    return log, report


def check_unparsable(report: LogReport, limit: float, paths: LogPaths, console: Console) -> None:
    """Print the report on the rows of a log. Raises InputError when a larger share than `limit` are no events."""
    console.print(str(report), highlight=False, soft_wrap=True, markup=False)
    if report.unparsable > limit * report.rows:
        count, example = report.most_frequent_reason()
        raise InputError(
            f"{report.unparsable:,} of {report.rows:,} rows of {paths} are no events, a share of "
            f"{report.unparsable_share:.4f}, and --max-unparsable allows {limit:g}; {count:,} of these rows have the "
            f"most frequent reason, first {example}; check --format, --columns and --mapping, or leave these rows out "
            "with a larger --max-unparsable SHARE"
        )


def read_log(args: argparse.Namespace, console: Console, *, for_model: bool = True) -> tuple[EventLog, LogReport]:
    """Read the part of the log that the arguments name. See `read_whole_log`."""
    _, log, report = read_log_parts(args, console, for_model=for_model)
    return log, report


def read_training_log(args: argparse.Namespace, console: Console) -> tuple[EventLog, LogReport]:
    """Read the part of the log that the arguments name, without the events that --leave-out leaves out."""
    log, report = read_log(args, console)
    if args.leave_out is None:
        return log, report
    kept = log[log.later_events() >= args.leave_out]
    if not len(kept):
        raise InputError(
            f"no user of {args.log} has more than {args.leave_out} events, so --leave-out {args.leave_out} leaves "
            "nothing to train on: leave out fewer events"
        )
    console.print(
        f"left out: the last {args.leave_out} events of each user, {len(log) - len(kept):,} of {len(log):,} events",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    return kept, report


def read_log_parts(
    args: argparse.Namespace, console: Console, *, for_model: bool = True
) -> tuple[EventLog, EventLog, LogReport]:
    """Read a log as `read_whole_log` does.

    Returns the events before the part that --rest names, which are none without --rest, the part of the log that the
    arguments name, and the report.
    """
    log, report = read_whole_log(args, args.log, console, for_model=for_model)
    earlier = log[:0]
    if args.first is not None:
        log = log.split(args.first)[0]
    if args.rest is not None:
        earlier, log = log.split(args.rest)
    if not len(log):
        raise InputError(
            f"no event of {args.log} is in the requested part: check --format, --mapping, --first and --rest"
        )
    return earlier, log, report


def add_leave_out_argument(parser: argparse.ArgumentParser) -> None:
    """Add the number of last events of each user that a training leaves out."""
    parser.add_argument(
        "--leave-out",
        type=whole_number(1),
        metavar="N",
        help="leave out each user's last N events; 2 is the training part of leave-one-out tables",
    )


def add_score_argument(parser: argparse.ArgumentParser) -> None:
    """Add the choice of the scored events."""
    parser.add_argument(
        "--score",
        choices=("all", "last"),
        default="all",
        help="last: score only each user's last event, after all the user's earlier events (leave-one-out); for a "
        "model of `thalweg train --leave-out 2`",
    )


def add_cold_argument(parser: argparse.ArgumentParser) -> None:
    """Add the choice to leave out the events before --rest."""
    parser.add_argument(
        "--cold",
        action="store_true",
        help="leave out the events before --rest, as in a stream that `thalweg replay --rest` begins",
    )


def prepare_history(args: argparse.Namespace, earlier: EventLog, log: LogPaths, console: Console) -> EventLog | None:
    """The events that are stepped before the scored events, or None where there are none. Prints their number.

    earlier: the events of the log `log` before the scored events. Repeats and bots are left out as from the scored
    events. Users with few events stay, because their other events may be scored.
    """
    settings = Preparation(drop_repeats=args.drop_repeats, max_events_per_day=args.max_events_per_day or None)
    history, _ = prepare(earlier, settings)
    if not len(history):
        return None
    _print_history(history, log, console)
    return history


def _print_history(history: EventLog, log: LogPaths, console: Console) -> None:
    console.print(
        f"history: {len(history):,} events of {log} before the scored events are stepped first and not scored",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def read_scored_log(args: argparse.Namespace, console: Console) -> tuple[EventLog | None, EventLog]:
    """Read and prepare a log for an evaluation. Returns the history, or None, and the events to score.

    The history is the part of the log before --rest. With --score last, the history is all events but the last event
    of each user. Raises InputError for --cold without --rest.
    """
    if args.cold and args.rest is None:
        raise InputError("--cold leaves out the events before --rest: give --rest as well, or leave --cold out")
    earlier, log, _ = read_log_parts(args, console)
    if args.score == "last":
        whole, _ = prepare_log(args, log if args.cold else earlier.followed_by(log), console)
        is_last = (whole.later_events() == 0) & (whole.time_ms >= log.time_ms[0])
        history, log = whole[~is_last], whole[is_last]
        if not len(log):
            raise InputError(f"no user's last event of {args.log} is left: check --rest and --min-user-events")
        if not len(history):
            return None, log
        _print_history(history, args.log, console)
        return history, log
    log, _ = prepare_log(args, log, console)
    if args.cold or args.history is not None:
        return None, log
    return prepare_history(args, earlier, args.log, console), log


def prepare_log(
    args: argparse.Namespace, log: EventLog, console: Console, min_support: int = 1
) -> tuple[EventLog, PreparationReport]:
    """Prepare the log as the arguments say, and print the report.

    The preparation comes after the split by --first and --rest. `thalweg replay` splits the whole log in the same way,
    and events after the split must not decide which earlier events are left out.
    """
    settings = Preparation(
        drop_repeats=args.drop_repeats,
        max_events_per_day=args.max_events_per_day or None,
        min_user_events=args.min_user_events,
        min_support=min_support,
    )
    prepared, report = prepare(log, settings)
    console.print(str(report), highlight=False, soft_wrap=True)
    if not len(prepared):
        raise InputError(f"no event of {args.log} is left: check --max-events-per-day and --min-user-events")
    return prepared, report
