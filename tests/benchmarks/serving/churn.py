"""Measures the calibration of `GET /v1/users/{id}/churn` on a log: the risk that the API would answer, and what came.

`python -m tests.benchmarks.serving.churn --data DIR --seeds N`, where DIR holds `rees46/2019-Oct.csv.gz` and
`beauty/beauty.csv.gz`. A log is trained on its first 70% in time. At moments in the rest, the question is asked for
every user with an event up to then: it has the representation after the user's last event, and the time since. The same
prediction without the time since shows what the condition is worth. Prints one JSON object on the last line.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from encoder.data.loaders import load_log
from encoder.data.sequences import Sequences
from encoder.metrics.averages import mean
from encoder.metrics.binary import auc, groups_by_probability
from encoder.metrics.time_mixture import TimeMixture
from encoder.training.evaluation import head_outputs
from encoder.training.settings import TrainingSettings
from encoder.training.train import train
from tests.benchmarks.quality import BEAUTY_COLUMNS

DAY_MS = 86_400_000
MOMENTS = 5  # evenly between the end of the training and the last moment whose outcome the log shows
LOGS = {"rees46": ("rees46/2019-Oct.csv.gz", "rees46", None), "beauty": ("beauty/beauty.csv.gz", "csv", BEAUTY_COLUMNS)}
DAYS = {"rees46": (1 / 288, 1 / 96, 1 / 48), "beauty": (7.0, 30.0, 180.0)}  # REES46: 5, 15 and 30 minutes of 3 hours


def asked(time_ms: np.ndarray, starts: np.ndarray, at_ms: int, horizon_ms: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the position of each user's last event up to a moment, and whether no event follows within the horizon."""
    last, silent = [], []
    for begin, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        count = int(np.searchsorted(time_ms[begin:end], at_ms, side="right"))
        if count:
            following = time_ms[begin + count] if begin + count < end else np.iinfo(np.int64).max
            last.append(begin + count - 1)
            silent.append(following > at_ms + horizon_ms)
    return np.array(last), np.array(silent)


def figures(risk: np.ndarray, silent: np.ndarray) -> dict[str, Any]:
    groups = [(mean(risk[group]), mean(silent[group]), len(group)) for group in groups_by_probability(risk)]
    total = sum(n for _, _, n in groups)
    return {
        "mean_risk": mean(risk),
        "auc": auc(risk, silent),
        "brier": mean((risk - silent) ** 2),
        "calibration_error": sum(n * abs(expected - seen) for expected, seen, n in groups) / total,
        "groups": [[round(expected, 3), round(seen, 3)] for expected, seen, _ in groups],
    }


def measured(name: str, data: Path, seed: int) -> dict[str, Any]:
    file, kind, columns = LOGS[name]
    log = load_log(data / file, kind, columns)[0]
    cut = int(len(log) * 0.7)
    trained = train(log[:cut], TrainingSettings(seed=seed))
    sequences = Sequences.from_log(log, trained.vocabulary)
    _, mixture = head_outputs(trained.model, sequences)
    time_ms, begin_ms, end_ms = log.time_ms[sequences.row], int(log.time_ms[cut]), int(log.time_ms.max())
    found: dict[str, Any] = {}
    for days in DAYS[name]:
        horizon_ms = int(days * DAY_MS)
        parts = []
        for at_ms in np.linspace(begin_ms, end_ms - horizon_ms, MOMENTS).astype(np.int64).tolist():
            last, silent = asked(time_ms, sequences.starts, at_ms, horizon_ms)
            predicted, waited_s = TimeMixture(mixture[last]), (at_ms - time_ms[last]) / 1000
            parts.append((predicted.silence(days * 86_400, waited_s), predicted.silence(days * 86_400), silent))
        risk, unconditional, silent = (np.concatenate(column) for column in zip(*parts, strict=True))
        rate = mean(silent)
        found[f"{days:.6g}"] = {
            "asked": len(silent),
            "silent": rate,
            "constant_brier": rate * (1 - rate),
            "served": figures(risk, silent),
            "without_wait": figures(unconditional, silent),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--logs", nargs="+", choices=LOGS, default=list(LOGS))
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args()
    runs = {name: [measured(name, args.data, seed) for seed in range(args.seeds)] for name in args.logs}
    print(json.dumps(runs))


if __name__ == "__main__":
    main()
