"""What each cell costs and how well it predicts: `python -m tests.benchmarks.cells LOG --format NAME`.

Each cell is trained with the default settings and exported. The benchmark prints one JSON object in a line for each
cell: the number of its parameters, the width of the state (with traces and counters), the largest differences of the
parity proof over 1,000 steps (`export.parity`) and the largest state, MRR@20 on the validation part, and the CPU time
of a step of 256 users, as the median of rounds in which the cells take turns.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from encoder.commands.log_arguments import add_log_arguments
from encoder.data.event_log import EventLog
from encoder.data.loaders import load_log
from encoder.data.preparation import MAX_EVENTS_PER_DAY, Preparation, prepare
from encoder.training.settings import CELL_NAMES, TrainingSettings
from encoder.training.train import train
from export.exporter import export_model
from export.parity import TOLERANCE, random_sequences
from export.runtime.inputs import StepInputs
from export.runtime.stepper import Stepper

USERS = 256
ROUNDS, STEPS = 15, 100


class Trained:
    """A cell that is trained and exported, and the times of its rounds."""

    def __init__(self, log: EventLog, settings: TrainingSettings, folder: Path) -> None:
        trained = train(log, settings)
        bundle = export_model(trained.model, trained.vocabulary, folder / settings.cell)
        parity = bundle.manifest.parity
        self.row: dict[str, Any] = {
            "cell": settings.cell,
            "parameters": sum(weight.numel() for weight in trained.model.cell.parameters()),
            "state_width": bundle.manifest.state_width,
            "state_diff": parity["state_max_abs_diff"],
            "largest_state": round(parity["state_tolerance"] / TOLERANCE, 1),
            "representation_diff": parity["representation_max_abs_diff"],
            "validation_mrr@20": round(trained.metrics["mrr@20"], 4),
        }
        self._stepper = Stepper(bundle)
        draw = np.random.default_rng(0)
        features = random_sequences(trained.model, 0).events.features.items()
        self._inputs = StepInputs(
            item=draw.integers(0, bundle.manifest.items, USERS),
            action=draw.integers(0, bundle.manifest.actions, USERS),
            gap_ms=draw.integers(0, 10**6, USERS),
            features={name: values.ravel()[:USERS] for name, values in features},
        )
        self._state = np.tile(bundle.initial_state, (USERS, 1))
        self._step_us: list[float] = []

    def round(self) -> None:
        """Measure the mean time of STEPS steps."""
        began_s = time.process_time()
        for _ in range(STEPS):
            self._stepper.step(self._inputs, self._state)
        self._step_us.append((time.process_time() - began_s) / STEPS * 1e6)

    def result(self) -> dict[str, Any]:
        return {**self.row, "step_us": round(float(np.median(self._step_us)))}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.cells", description=__doc__)
    add_log_arguments(parser)
    parser.add_argument("--min-support", type=int, default=TrainingSettings().min_support)
    args = parser.parse_args()
    torch.set_num_threads(1)
    log, _ = load_log(args.log, args.format, args.columns)
    log = log if args.first is None else log.split(args.first)[0]
    settings = Preparation(drop_repeats=True, max_events_per_day=MAX_EVENTS_PER_DAY, min_support=args.min_support)
    log, _ = prepare(log, settings)
    with tempfile.TemporaryDirectory() as folder:
        cells = [
            Trained(log, TrainingSettings(cell=cell, min_support=args.min_support), Path(folder)) for cell in CELL_NAMES
        ]
        for _ in range(ROUNDS):
            for cell in cells:
                cell.round()
    for cell in cells:
        print(json.dumps(cell.result()))


if __name__ == "__main__":
    main()
