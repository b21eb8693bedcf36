"""Measures the quality of representations with the protocols of published figures.

`python -m tests.benchmarks.quality --data DIR`, where DIR holds `yoochoose/train_full.tsv.gz` and `test.tsv.gz`
(SessionId, ItemId, Time), `beauty/beauty.csv.gz` (user, item, ts, pos) and `rees46/2019-Oct.csv.gz`. Settings are
TrainingSettings' defaults or `--set NAME=VALUE`. Prints one JSON object on the last line.

yoochoose: each click of a test session except the first is predicted from the clicks before it. Items that are not in
the training part are dropped. distinct-yoochoose: the same without clicks on the item of the click before. beauty: each
user's last item is predicted from all items before it. Training leaves out the last two events of each user
(leave-one-out, as in published tables). rees46: a stream of the last 30% to a model of the first 70%. Items that the
model does not know are misses. Ranks are over all training items, and ties count against the model. "masked" figures
take the user's own items out of the ranking. `--validation` holds out the end of the training part in the same way, so
that settings can be chosen.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from encoder.data.event_log import EventLog
from encoder.data.loaders import load_log
from encoder.data.sequences import Sequences
from encoder.metrics.ranking import mrr, ndcg, recall
from encoder.training.evaluation import model_and_masked_ranks
from encoder.training.settings import TrainingSettings
from encoder.training.train import train
from encoder.training.validation import best_epoch

DAY_MS = 86_400_000
BEAUTY_COLUMNS = "user_id=user,item_id=item,event_time_ms=ts[s],action:=rate"

Split = tuple[
    EventLog, EventLog, NDArray[np.bool_]
]  # training log, log that is stepped, (n,) which of its events are scored (all with history if empty)


def yoochoose(data: Path, is_validation: bool) -> Split:
    whole, _ = load_log(data / "yoochoose" / "train_full.tsv.gz", "yoochoose")
    if not is_validation:
        test, _ = load_log(data / "yoochoose" / "test.tsv.gz", "yoochoose")
        return whole, _known(test, whole), np.ones(0, bool)
    last_ms = np.zeros(len(whole.user_ids), np.int64)
    np.maximum.at(last_ms, whole.user, whole.time_ms)
    is_held_out = last_ms[whole.user] >= whole.time_ms[-1] - DAY_MS
    return whole[~is_held_out], _known(whole[is_held_out], whole[~is_held_out]), np.ones(0, bool)


def distinct_yoochoose(data: Path, is_validation: bool) -> Split:
    training, stepped, _ = yoochoose(data, is_validation)
    training = _without_repeats(training)
    return training, _known(_without_repeats(stepped), training), np.ones(0, bool)


def beauty(data: Path, is_validation: bool) -> Split:
    whole, _ = load_log(data / "beauty" / "beauty.csv.gz", "csv", BEAUTY_COLUMNS)
    if is_validation:
        whole = whole[whole.later_events() > 0]
    later = whole.later_events()
    return whole[later >= 2], whole, later == 0


def rees46(data: Path, is_validation: bool) -> Split:
    whole, _ = load_log(data / "rees46" / "2019-Oct.csv.gz", "rees46")
    training, streamed = whole.split(0.7)
    return (*training.split(0.8), np.ones(0, bool)) if is_validation else (training, streamed, np.ones(0, bool))


def _without_repeats(log: EventLog) -> EventLog:
    """Return the events whose item is not the item of the user's event before."""
    order = np.argsort(log.user, kind="stable")
    user, item = log.user[order], log.item[order]
    is_repeat = np.zeros(len(log), bool)
    is_repeat[order[1:]] = (user[1:] == user[:-1]) & (item[1:] == item[:-1])
    return log[~is_repeat]


def _known(log: EventLog, training: EventLog) -> EventLog:
    """Return the events whose items are in the training log."""
    names = {training.item_ids[code] for code in np.unique(training.item)}
    return log[np.array([item in names for item in log.item_ids])[log.item]]


DATASETS: dict[str, Callable[[Path, bool], Split]] = {
    "yoochoose": yoochoose,
    "distinct-yoochoose": distinct_yoochoose,
    "beauty": beauty,
    "rees46": rees46,
}


def run(split: Split, settings: TrainingSettings) -> dict[str, Any]:
    """Train once and score."""
    training, stepped, scored = split
    began_s = time.process_time()
    trained = train(training, settings)
    cpu_s = time.process_time() - began_s
    sequences = Sequences.from_log(stepped, trained.vocabulary)
    is_scored = scored[sequences.row] if len(scored) else sequences.history_lengths() > 0
    ranks, masked = model_and_masked_ranks(trained.model, sequences, is_scored)
    passes = len(trained.epochs) * (1 - settings.validation) + best_epoch(trained.epochs) + 1  # over the whole log
    steps = len(training) - len(np.unique(training.user))
    return {
        "recall@20": recall(ranks, 20),
        "mrr@20": mrr(ranks, 20),
        "recall@10": recall(ranks, 10),
        "ndcg@10": ndcg(ranks, 10),
        "masked recall@10": recall(masked, 10),
        "masked ndcg@10": ndcg(masked, 10),
        "n": len(ranks),
        "epochs": len(trained.epochs),
        "cpu_s": round(cpu_s, 1),
        "transitions_per_cpu_s": round(passes * steps / cpu_s),
    }


def settings_of(changes: list[str]) -> TrainingSettings:
    """Return the default settings with NAME=VALUE changes."""
    changed = msgspec.to_builtins(TrainingSettings()) | dict(change.split("=", 1) for change in changes)
    return msgspec.convert(changed, TrainingSettings, strict=False)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.quality", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--dataset", choices=DATASETS, action="append", help="default: all")
    parser.add_argument("--seeds", type=int, default=1, metavar="N")
    parser.add_argument(
        "--validation", action="store_true", help="score the end of the training part instead of the test part"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="change a field of TrainingSettings"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    changed = settings_of(args.set)
    result: dict[str, Any] = {"settings": msgspec.to_builtins(changed), "validation": args.validation}
    for name in args.dataset or DATASETS:
        split = DATASETS[name](args.data, args.validation)
        runs = []
        for seed in range(args.seeds):
            runs.append(run(split, msgspec.structs.replace(changed, seed=seed)))
            print(name, seed, {key: round(value, 4) for key, value in runs[-1].items()}, flush=True)
        means = {key: float(np.mean([one[key] for one in runs])) for key in runs[0]}
        spread = {key: float(np.std([one[key] for one in runs], ddof=1)) for key in runs[0]} if len(runs) > 1 else {}
        result[name] = {"mean": means, "standard_deviation": spread}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
