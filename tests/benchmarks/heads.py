"""Measures the heads: the next action, the time to the next event, and churn beside a rule that counts events.

`python -m tests.benchmarks.heads --data DIR --seeds N`, where DIR holds `rees46/2019-Oct.csv.gz` and
`beauty/beauty.csv.gz` (user, item, ts, pos). Each log is trained on its first 70% in time and scored on the rest, with
the first 70% as history. The simulated shops lose half of their users; the seed of a training is also the seed of its
shop. `--validation` scores the last fifth of the first 70%, after a training on the part before, so that settings can
be chosen. Prints one JSON object on the last line.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from encoder.data.event_log import EventLog
from encoder.data.loaders import load_log
from encoder.data.simulator import Shop
from encoder.metrics.ranking import mrr
from encoder.training.evaluation import head_outputs, model_ranks
from encoder.training.settings import TrainingSettings
from encoder.training.train import Trained, train
from export.evaluation.heads import HeadOutputs, head_metrics
from export.evaluation.scored_events import ScoredEvents
from tests.benchmarks.quality import BEAUTY_COLUMNS

CHURN = 0.5  # share of the users of a simulated shop who leave

LOGS: dict[str, Callable[[Path, int], EventLog]] = {
    "rees46": lambda data, seed: load_log(data / "rees46" / "2019-Oct.csv.gz", "rees46")[0],
    "beauty": lambda data, seed: load_log(data / "beauty" / "beauty.csv.gz", "csv", BEAUTY_COLUMNS)[0],
    "small": lambda data, seed: Shop(seed, 500, 300, 30, CHURN).simulate(5_000),
    "small-slow": lambda data, seed: Shop(seed, 500, 300, 90, CHURN).simulate(5_000),
    "medium": lambda data, seed: Shop(seed, 1_000, 1_000, 60, CHURN).simulate(30_000),
    "busy": lambda data, seed: Shop(seed, 1_000, 400, 90, CHURN).simulate(120_000),
    "large": lambda data, seed: Shop(seed, 2_000, 3_000, 90, CHURN).simulate(120_000),
    "long": lambda data, seed: Shop(seed, 1_000, 1_000, 240, CHURN).simulate(60_000),
}


def run(history: EventLog, log: EventLog, seed: int) -> dict[str, float]:
    """Train on `history` and score `log`."""
    began_s = time.process_time()
    trained = train(history, TrainingSettings(seed=seed))
    cpu_s = time.process_time() - began_s
    scored = ScoredEvents.from_logs(log, trained.vocabulary, history)
    ranks = model_ranks(trained.model, scored.sequences, _mask(scored, scored.target[scored.steps > 0]))
    return {"cpu_s": cpu_s, "mrr@20": mrr(ranks, 20), **_head_figures(trained, scored)}


def _mask(scored: ScoredEvents, position: np.ndarray) -> np.ndarray:
    mask = np.zeros(len(scored.sequences.item), bool)
    mask[position] = True
    return mask


def _head_figures(trained: Trained, scored: ScoredEvents) -> dict[str, float]:
    probability, mixture = head_outputs(trained.model, scored.sequences)
    target = scored.target
    outputs = HeadOutputs(probability[target], mixture[np.maximum(target - 1, 0)], mixture[target])
    metrics = head_metrics(scored, outputs, trained.vocabulary.actions, trained.action_offsets)
    action, found_s = metrics["action"]["all"], metrics["time"]
    figures = {f"action {name}": action[name] for name in ("accuracy", "most_frequent", "f1", "skill")}
    figures |= {f"adjusted {name}": action["adjusted"][name] for name in ("accuracy", "f1") if action["adjusted"]}
    for name, scores in action["by_action"].items():
        figures |= {f"{name} {score}": scores[score] for score in ("share", "auc", "average_precision")}
        figures |= {f"{name} calibration_error": scores["calibration_error"]}
    figures["time log_likelihood"] = found_s["log_likelihood"]
    figures["time calibration_error"] = found_s["watched"]["calibration_error"]
    for horizon, churn in metrics["churn"].items():
        names = ("auc", "count_auc", "brier", "constant_brier", "mean_risk", "churned")
        figures |= {f"churn {horizon} {name}": churn[name] for name in names}
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.heads", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--log", choices=LOGS, action="append", help="default: all")
    parser.add_argument("--seeds", type=int, default=1, metavar="N")
    parser.add_argument("--first-seed", type=int, default=0, metavar="N")
    parser.add_argument("--validation", action="store_true", help="score a part of the training part")
    args = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, Any] = {}
    for name in args.log or LOGS:
        runs = []
        for seed in range(args.first_seed, args.first_seed + args.seeds):
            history, log = LOGS[name](args.data, seed).split(0.7)
            if args.validation:
                history, log = history.split(0.8)
            runs.append(run(history, log, seed))
            print(name, seed, {key: round(value, 4) for key, value in runs[-1].items()}, flush=True)
        result[name] = {key: float(np.nanmean([one.get(key, np.nan) for one in runs])) for key in runs[0]}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
