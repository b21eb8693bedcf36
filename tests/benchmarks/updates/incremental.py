"""Compares three ways to use newer events: to continue training on them, to train anew on all events, or neither.

`python -m tests.benchmarks.updates.incremental --data DIR`, where DIR holds `yoochoose/train_full.tsv.gz`,
`test.tsv.gz` and `rees46/2019-Oct.csv.gz`. The training part of the latter is its first 70%. The training part is cut
at 80% of its events in time. A model is trained on the first part ("none": no update), continues on the rest
("incremental"), or is trained on both ("full"). Each model is scored on the test part, over events of users with
history. An item that a model does not know is a miss. Costs are CPU seconds of the process and include validation.
Prints one JSON object on the last line.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import torch

from encoder.data.event_log import EventLog
from encoder.data.loaders import load_log
from encoder.data.preparation import MAX_EVENTS_PER_DAY, Preparation, prepare
from encoder.data.sequences import Sequences
from encoder.metrics.ranking import mrr, recall
from encoder.training.evaluation import model_ranks
from encoder.training.initialization import FromTrainedModel
from encoder.training.settings import CONTINUED_MAX_EPOCHS, TrainingSettings
from encoder.training.train import Trained, train

OLDER = 0.8  # share of the training part that is known before the update
REES46_TRAINING = 0.7


def score(trained: Trained, test: EventLog) -> dict[str, float]:
    sequences = Sequences.from_log(test, trained.vocabulary)
    ranks = model_ranks(trained.model, sequences, sequences.history_lengths() > 0)
    return {"recall@20": recall(ranks, 20), "mrr@20": mrr(ranks, 20)}


def timed(run: Callable[[], Trained]) -> tuple[Trained, float]:
    began_s = time.process_time()
    return run(), time.process_time() - began_s


def compare(training: EventLog, test: EventLog, settings: TrainingSettings) -> dict[str, dict[str, float]]:
    older, newer = training.split(OLDER)
    base, base_s = timed(lambda: train(older, settings))
    start = FromTrainedModel(base.model, base.vocabulary, base.baselines)
    updated, updated_s = timed(
        lambda: train(newer, msgspec.structs.replace(settings, max_epochs=CONTINUED_MAX_EPOCHS), initialization=start)
    )
    full, full_s = timed(lambda: train(training, settings))
    runs = {"none": (base, base_s), "incremental": (updated, updated_s), "full": (full, full_s)}
    return {
        name: score(trained, test) | {"cpu_s": cpu_s, "validated": len(trained.epochs)}
        for name, (trained, cpu_s) in runs.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.updates.incremental", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--dataset", choices=("yoochoose", "rees46"), action="append", help="default: both")
    parser.add_argument("--seeds", type=int, default=1, metavar="N")
    args = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, dict[str, dict[str, float]]] = {}
    for name in args.dataset or ("yoochoose", "rees46"):
        if name == "yoochoose":
            training, _ = load_log(args.data / name / "train_full.tsv.gz", name)
            test, _ = load_log(args.data / name / "test.tsv.gz", name)
            support = 1
        else:
            whole, _ = load_log(args.data / name / "2019-Oct.csv.gz", name)
            training, test = whole.split(REES46_TRAINING)
            support = TrainingSettings().min_support
        training, _ = prepare(training, Preparation(drop_repeats=True, max_events_per_day=MAX_EVENTS_PER_DAY))
        runs = []
        for seed in range(args.seeds):
            runs.append(compare(training, test, TrainingSettings(seed=seed, min_support=support)))
            print(
                name, seed, {way: {k: round(v, 4) for k, v in of.items()} for way, of in runs[-1].items()}, flush=True
            )
        result[name] = {
            way: {key: float(np.mean([one[way][key] for one in runs])) for key in of} for way, of in runs[0].items()
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
