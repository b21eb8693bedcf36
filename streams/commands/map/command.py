"""`thalweg map`: the arguments and the output."""

import argparse
from pathlib import Path

from rich.console import Console

from encoder.commands.number_arguments import whole_number
from encoder.commands.preconditions import check_writable_file
from encoder.console import open_console, print_table
from encoder.data.mapping import load_mapping, parse_mapping, preset_names
from encoder.data.mapping.proposals import Proposal, propose
from streams.commands.map.counts import Counts, count_sample
from streams.commands.map.events import write_events_of_file, write_events_of_topic
from streams.commands.map.report import count_lines, event_table, key_lines, usage_lines
from streams.commands.map.sample import Sample, read_file, read_newest
from streams.config.errors import InputError
from streams.config.loading import load_settings

SAMPLE = 1_000  # records
SHOWN = 10  # events


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        metavar="TOPIC|FILE",
        help="topic, or file of JSON Lines with records of a topic, also in gzip or zstd",
    )
    parser.add_argument(
        "--mapping",
        metavar="PRESET|FILE",
        help=f"show how this mapping reads the sample; presets: {', '.join(preset_names())}; by default, a mapping is "
        "proposed and written to standard output, and everything else to standard error",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the proposed mapping to this file")
    parser.add_argument(
        "--events",
        type=Path,
        metavar="FILE",
        help="write all events of the topic or file, read by --mapping, as JSON Lines of the event contract, for "
        "`thalweg train`; gzip where the name ends in .gz",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the file of --out or --events")
    parser.add_argument(
        "--sample",
        type=whole_number(1),
        default=SAMPLE,
        metavar="N",
        help="read the newest N records of the topic, as many of each partition, or the first N lines of the file "
        f"(default {SAMPLE})",
    )


def run(args: argparse.Namespace) -> int:
    """Read a sample, propose a mapping where none is given, and show the events of the sample.

    Returns 1 when no record of the sample gives an event. Raises InputError and BrokerError.
    """
    _check_arguments(args)
    if args.events is not None:
        return _write_events(args)
    sample = _sample(args.source, args.sample)
    if args.mapping is not None:
        return _show(sample, count_sample(load_mapping(args.mapping), sample, SHOWN), open_console())
    proposal = propose(sample.records, sample.of)
    if args.out is None:
        print(proposal.text, end="", flush=True)
    else:
        args.out.write_text(proposal.text, encoding="utf-8")
    console = open_console(stderr=args.out is None)
    _print(console, _about(proposal, args.out))
    if proposal.missing:
        return 1
    mapping = parse_mapping(proposal.text, "the proposed mapping", "proposed")
    return _show(sample, count_sample(mapping, sample, SHOWN), console)


def _check_arguments(args: argparse.Namespace) -> None:
    if args.out is not None and args.mapping is not None:
        raise InputError(
            "--out writes a proposed mapping, and --mapping names one that is there: leave one of them out"
        )
    if args.events is not None and args.mapping is None:
        raise InputError("--events needs --mapping PRESET|FILE: propose a mapping first, and check the mapping")
    for option, path in (("--out", args.out), ("--events", args.events)):
        if path is not None:
            check_writable_file(path, f"{option} {path}")
            if path.exists() and not args.overwrite:
                raise InputError(f"{option} {path} exists: name another file, or replace the file with --overwrite")
            if path.exists() and Path(args.source).exists() and path.samefile(args.source):
                raise InputError(f"{option} {path} is the file to read: name another file")


def _is_file(source: str) -> bool:
    """Whether the source is a file and no topic. Raises InputError where the name is that of a missing file.

    A folder may have the name of a topic.
    """
    path = Path(source)
    if path.is_dir() and path.name == source:
        return False
    if path.exists():
        return True
    if path.suffix in (".jsonl", ".json", ".gz", ".zst") or len(path.parts) > 1:
        raise InputError(f"there is no file {source}: check the path, or name a topic")
    return False


def _sample(source: str, count: int) -> Sample:
    return read_file(Path(source), count) if _is_file(source) else read_newest(load_settings(), source, count)


def _write_events(args: argparse.Namespace) -> int:
    mapping = load_mapping(args.mapping)
    if _is_file(args.source):
        counts = write_events_of_file(Path(args.source), mapping, args.events)
    else:
        counts = write_events_of_topic(load_settings(), args.source, mapping, args.events)
    about = [*usage_lines(counts.usage, counts.reading), *key_lines(counts.partitions, is_sample=False)]
    for line in [*count_lines(counts.reading), *about]:
        _print(open_console(), line)
    return 0 if counts.reading.events else 1


def _about(proposal: Proposal, out: Path | None) -> str:
    named = "the proposed mapping" if out is None else f"the mapping in {out}"
    if proposal.missing:
        missing = ", ".join(proposal.missing)
        return (
            f"{named} is not complete, because no field looks like {missing}: name the fields, then run "
            "`thalweg map` with --mapping FILE"
        )
    does = (
        "reads fields that were found by their names and values"
        if proposal.preset is None
        else f"extends the preset {proposal.preset}, because the records have its form"
    )
    return f"{named} {does}: check the mapping and the events"


def _show(sample: Sample, counts: Counts, console: Console) -> int:
    reading = counts.reading
    if reading.first_events:
        print_table(console, event_table(reading))
    about = [*usage_lines(counts.usage, reading, sample.records), *key_lines(counts.partitions, is_sample=True)]
    for line in [*count_lines(reading), *about]:
        _print(console, line)
    return 0 if reading.events else 1


def _print(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
