"""The rate of a worker that reads Segment's calls by a mapping, beside a worker that reads the same events as contract.

`python -m tests.benchmarks.bench.mapping [--rounds 6] [--records 300000] [--most-lines 5] [--plain-model] [--json]`.
Two topics hold the same events in the same order. One topic has Segment's calls of about a kilobyte, with 1% foreign
records and with orders of several lines. The other topic has one record of the event contract for each event. Both
workers run in turn on the same services. The command prints the ratio of the medians of the rates, and of the CPU time
of the workers.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from export.runtime.bundle import Bundle
from streams.broker.record_decoder import open_decoder
from streams.broker.topics import ensure_topics
from streams.commands.replay.producer import Replay
from streams.config.settings import Settings
from streams.demo.worker_process import WORKER_COMMAND, WorkerProcess
from streams.engine.codec import Several, WithoutUser
from streams.local import LocalServices, local_services
from tests.benchmarks.bench import load
from tests.benchmarks.bench.contenders import Contender, Testbed, run
from tests.support.mapped.segment import START_MS, Call, calls, records

CONTRACT, SEGMENT = "contract", "segment"
WARM_SHARE = 4  # One event of four is done before the measured stretch.
BATCH = 10_000


class Read(NamedTuple):
    """A call as a decoder sees it."""

    key: bytes
    value: bytes
    timestamp: int = START_MS + 10**9
    headers: tuple[tuple[str, bytes], ...] = ()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--records", type=int, default=300_000, help="records of the topic of Segment's calls")
    parser.add_argument("--most-lines", type=int, default=5, help="lines of the longest order")
    parser.add_argument("--plain-model", action="store_true", help="the plain GRU instead of the default model")
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    args = parser.parse_args()
    runs: dict[str, list[dict[str, float]]] = {CONTRACT: [], SEGMENT: []}
    with (
        tempfile.TemporaryDirectory(prefix="thalweg-mapping-") as folder,
        local_services(long_running=True) as services,
    ):
        work = Path(folder)
        bundle = load.bundle(work / "bundle", is_whole=not args.plain_model)
        found = calls(args.records, load.USERS, load.ITEMS - 1, most_lines=args.most_lines)
        topics = {name: _settings(services, bundle, name) for name in runs}
        Replay(topics[SEGMENT], topics[SEGMENT].behavior_topic).run(records(found))
        Replay(topics[CONTRACT], topics[CONTRACT].behavior_topic).run(_as_contract(topics[SEGMENT], found))
        count = sum(call.events or 0 for call in found)
        for turn in range(args.rounds):
            for name in sorted(runs, reverse=turn % 2 == 1):
                testbed = Testbed(services, topics[name], work)
                figures = run(testbed, _contender(testbed, name, count), turn)
                runs[name].append(figures)
                print(f"{name}: {', '.join(f'{key} {value:,.3g}' for key, value in figures.items())}", flush=True)
    for key in ("events_per_s", *(key for key in runs[CONTRACT][0] if "cpu" in key)):
        print(f"{key}: {_ratio(runs, key)}")
    if args.json:
        print(json.dumps({"events": count, "runs": runs}))
    return 0


def _settings(services: LocalServices, bundle: Bundle, name: str) -> Settings:
    settings = load.named(
        Settings(broker=services.kafka.address, cassandra=services.cassandra.address, bundle=str(bundle.path)), name
    )
    settings = msgspec.structs.replace(settings, mapping=SEGMENT if name == SEGMENT else None)
    ensure_topics(settings)
    return settings


def _as_contract(settings: Settings, found: list[Call]) -> Iterator[tuple[bytes, bytes]]:
    """The events of the calls as records of the event contract."""
    decoder, encode = open_decoder(settings), msgspec.json.Encoder().encode
    for start in range(0, len(found), BATCH):
        for outcome in decoder.decode_batch([Read(call.key, call.value) for call in found[start : start + BATCH]]):
            if not isinstance(outcome, WithoutUser):
                events: Any = outcome.events if isinstance(outcome, Several) else (outcome,)
                for event in events:
                    yield event.user_id.encode(), encode(event)


def _contender(testbed: Testbed, name: str, events: int) -> Contender:
    """A worker. Each turn has a new keyspace and a new group, so that no row is stored."""

    def service(turn: int) -> WorkerProcess:
        own = f"{name}_{turn}"
        settings = msgspec.structs.replace(testbed.settings, group=own, keyspace=own)
        return WorkerProcess(settings, testbed.work / f"{own}.log", WORKER_COMMAND)

    return Contender(name, testbed.settings.evaluation_topic, events // WARM_SHARE, events, service)


def _ratio(runs: dict[str, list[dict[str, float]]], key: str) -> str:
    """The ratio of the medians, by mapping to by contract, and the ratio of each round."""
    by_mapping, by_contract = ([figures[key] for figures in runs[name]] for name in (SEGMENT, CONTRACT))
    medians = statistics.median(by_mapping), statistics.median(by_contract)
    rounds = ", ".join(f"{a / b:.2f}" for a, b in zip(by_mapping, by_contract, strict=True))
    return f"{medians[0]:,.4g} by the mapping, {medians[1]:,.4g} by contract: {medians[0] / medians[1]:.3f} ({rounds})"


if __name__ == "__main__":
    raise SystemExit(main())
