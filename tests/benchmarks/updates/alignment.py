"""Measures what `thalweg export --aligned-to` keeps alive: a model that learnt from the vectors of an older bundle.

`python -m tests.benchmarks.updates.alignment --data DIR --seeds N`, where DIR holds `rees46/2019-Oct.csv.gz`. The other
log is a simulated shop. The first 70% of a log in time are for training: the older bundle is trained on the first 80%
of these events, and the newer bundle on all of them, with another seed. A linear probe predicts the category of a
user's next item from the user's vector. It learns from the older bundle's vectors of one half of the users, and is
judged on the other half of the users, both over the last 30% of the log. `--validation` takes the last fifth of the
first 70% for the probe instead, so that the rotation can be chosen. Prints one JSON object on the last line.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from encoder.data.event_log import EventLog
from encoder.data.loaders import load_log
from encoder.data.preparation import MAX_EVENTS_PER_DAY, Preparation, prepare
from encoder.data.simulator import Shop
from encoder.training.settings import TrainingSettings
from encoder.training.train import Trained, train
from export.evaluation.queries import queries
from export.evaluation.scored_events import ScoredEvents
from export.exporter import export_model
from export.runtime.bundle import Bundle
from export.runtime.stepper import Stepper

TRAINING, OLDER = 0.7, 0.8
RIDGE = 1.0  # added to each of the squared singular values of standardised vectors

Vectors = NDArray[np.float64]


class Questions(NamedTuple):
    """n events of users with history: which category comes next?"""

    users: list[str]  # (n,)
    category: NDArray[np.int32]  # (n,)
    vectors: Vectors  # (n, D) of the users before the events, the components that score


def read(name: str, data: Path, seed: int) -> EventLog:
    if name == "rees46":
        log, _ = load_log(data / "rees46" / "2019-Oct.csv.gz", "rees46")
    else:
        log = Shop(seed, 1_000, 1_000, 30).simulate(40_000)
    return prepare(log, Preparation(drop_repeats=True, max_events_per_day=MAX_EVENTS_PER_DAY))[0]


def ask(bundle: Bundle, history: EventLog, log: EventLog) -> Questions:
    """The questions of the log whose items have a category."""
    scored = ScoredEvents.from_logs(log, bundle.vocabulary, history)
    vectors = np.empty((len(scored.target), bundle.scoring_width))
    stepper = Stepper(bundle, on_cpu=True)
    for pairs, query in queries(bundle, stepper, scored.sequences, scored.user, scored.steps):
        vectors[pairs] = query[:, : bundle.scoring_width]
    category = log.category[scored.row]
    is_asked = (scored.steps > 0) & (category >= 0)
    users = [scored.user_ids[user] for user in scored.user[is_asked].tolist()]
    return Questions(users, category[is_asked], vectors[is_asked])


class Probe:
    """Ridge regression of categories, each 0 or 1, on standardised vectors."""

    def __init__(self, vectors: Vectors, category: NDArray[np.int32]) -> None:
        self.classes, code = np.unique(category, return_inverse=True)
        self.mean, self.scale = vectors.mean(axis=0), vectors.std(axis=0) + 1e-9
        known = self._standardised(vectors)
        target = np.eye(len(self.classes))[code]
        self.weights = np.linalg.solve(known.T @ known + RIDGE * np.eye(known.shape[1]), known.T @ target)

    def accuracy(self, vectors: Vectors, category: NDArray[np.int32]) -> float:
        answer = self.classes[(self._standardised(vectors) @ self.weights).argmax(axis=1)]
        return float((answer == category).mean())

    def _standardised(self, vectors: Vectors) -> Vectors:
        return np.pad((vectors - self.mean) / self.scale, ((0, 0), (0, 1)), constant_values=1)


def cosine(one: Vectors, other: Vectors) -> float:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(axis=1) / lengths).mean())


def compare(older: Questions, newer: dict[str, Questions]) -> dict[str, float]:
    """The accuracy of the probe, and the cosine of vectors, for each way to make the newer bundle."""
    half = dict(
        zip(users := sorted(set(older.users)), np.random.default_rng(0).permutation(len(users)) % 2, strict=True)
    )
    is_taught = np.array([half[user] == 0 for user in older.users])
    asked = older.category[~is_taught]
    probe = Probe(older.vectors[is_taught], older.category[is_taught])
    figures = {
        "questions": len(asked),
        "categories": len(probe.classes),
        "most frequent category": float((asked == np.bincount(older.category[is_taught]).argmax()).mean()),
        "older": probe.accuracy(older.vectors[~is_taught], asked),
    }
    for name, of in newer.items():
        figures[name] = probe.accuracy(of.vectors[~is_taught], asked)
        figures[f"{name}, cosine"] = cosine(of.vectors[~is_taught], older.vectors[~is_taught])
        figures[f"{name}, new probe"] = Probe(of.vectors[is_taught], of.category[is_taught]).accuracy(
            of.vectors[~is_taught], asked
        )
    return figures


def bundles(older: Trained, newer: Trained, folder: Path) -> tuple[Bundle, dict[str, Bundle]]:
    first = export_model(older.model, older.vocabulary, folder / "older")
    return first, {
        "not aligned": export_model(newer.model, newer.vocabulary, folder / "newer"),
        "aligned": export_model(newer.model, newer.vocabulary, folder / "aligned", aligned_to=first),
    }


def run(log: EventLog, seed: int, epochs: int, *, is_validation: bool) -> dict[str, float]:
    training, asked = log.split(TRAINING)
    if is_validation:
        training, asked = training.split(OLDER)
    before, _ = training.split(OLDER)
    older = train(before, TrainingSettings(seed=2 * seed, max_epochs=epochs))
    newer = train(training, TrainingSettings(seed=2 * seed + 1, max_epochs=epochs))
    with tempfile.TemporaryDirectory() as folder:
        first, others = bundles(older, newer, Path(folder))
        of_others = {name: ask(bundle, training, asked) for name, bundle in others.items()}
        return compare(ask(first, training, asked), of_others) | {
            name: value for name, value in others["aligned"].manifest.aligned_to.items() if name != "bundle_id"
        }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.updates.alignment", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=2, metavar="N")
    parser.add_argument("--epochs", type=int, default=10, metavar="N", help="at most so many passes (default 10)")
    parser.add_argument("--log", choices=("simulated", "rees46"), action="append", help="default: both")
    parser.add_argument("--validation", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, dict[str, float]] = {}
    for name in args.log or ("simulated", "rees46"):
        runs = []
        for seed in range(args.seeds):
            log = read(name, args.data, seed)
            runs.append(run(log, seed, args.epochs, is_validation=args.validation))
            print(name, seed, {key: round(value, 4) for key, value in runs[-1].items()}, flush=True)
        result[name] = {key: float(np.mean([one[key] for one in runs])) for key in runs[0]}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
