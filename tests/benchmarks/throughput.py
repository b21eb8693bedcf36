"""Compares the speed of training with that of a plain session-parallel trainer in the same run.

`python -m tests.benchmarks.throughput --data DIR [--dataset NAME] [--set NAME=VALUE]`, with options as in
`tests.benchmarks.quality`. The plain trainer follows Hidasi & Karatzoglou (2018) and uses modules of torch: BATCH
sessions side by side, one event of each session in a step, no gradient through earlier events, tied vectors,
cross-entropy or BPR-max against the batch's other targets and drawn items, and Adagrad. It has the same width and
updates only the rows that it needs. The benchmark prints transitions per CPU-second on one thread, as medians of ROUNDS
rounds in which the trainers take turns. The figures include no validation.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from encoder.data.event_log import EventLog
from encoder.data.sequences import Sequences
from encoder.data.vocabulary import Vocabulary
from encoder.training.settings import TrainingSettings
from encoder.training.train import train_on_all
from encoder.training.validation import SELECTION_METRIC, Validation
from tests.benchmarks.quality import DATASETS, settings_of

BATCH, NEGATIVES, ALPHA, LEARNING_RATE = 32, 2_048, 0.5, 0.05
ROUNDS, ROUND_S = 3, 8.0  # CPU-seconds


class PlainGRU(nn.Module):
    """A GRU over BATCH sessions side by side."""

    def __init__(self, counts: NDArray[np.int64], width: int, loss: str) -> None:
        super().__init__()
        self.vectors = nn.Embedding(len(counts), width, sparse=True)
        nn.init.normal_(self.vectors.weight, std=width**-0.5)
        self.gru = nn.GRU(width, width)
        self._cumulative, self._loss = torch.from_numpy(np.cumsum((counts + 1.0) ** ALPHA)), loss

    def forward(self, item: Tensor, target: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean loss and the next state, (B, D), for items (B,), their targets (B,) and the state (B, D)."""
        drawn = torch.searchsorted(self._cumulative, torch.rand(NEGATIVES, dtype=torch.float64) * self._cumulative[-1])
        output, state = self.gru(self.vectors(item)[None], state[None])
        candidates = torch.cat([target, drawn])
        scores = output[0] @ self.vectors(candidates).T
        if self._loss == "cross-entropy":
            return functional.cross_entropy(scores, torch.arange(len(target))), state[0]
        weight = scores.masked_fill(candidates == target[:, None], -torch.inf).softmax(dim=1)
        better = (weight * torch.sigmoid(scores.diagonal()[:, None] - scores)).sum(dim=1)
        penalty = (weight * scores.square()).sum(dim=1)
        return (penalty - torch.log(better + 1e-24)).mean(), state[0]


def session_parallel(sequences: Sequences) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield items (B,), the items that follow them (B,), and whether each session continues (B,), without end."""
    random, starts = np.random.default_rng(0), sequences.starts
    order = iter(np.empty(0, np.int64))
    at, end = np.zeros(BATCH, np.int64), np.zeros(BATCH, np.int64)
    while True:
        continues = at < end
        for lane in np.flatnonzero(~continues):
            while at[lane] >= end[lane]:
                if (session := next(order, None)) is None:
                    order = iter(random.permutation(len(sequences)))
                else:
                    at[lane], end[lane] = starts[session], starts[session + 1] - 1
        yield (
            torch.from_numpy(sequences.item[at]),
            torch.from_numpy(sequences.item[at + 1]),
            torch.from_numpy(continues),
        )
        at += 1


def plain(sequences: Sequences, items: int, width: int, loss: str) -> Callable[[], float]:
    """Return a function that runs a round of the plain trainer and returns its transitions per CPU-second."""
    model = PlainGRU(np.bincount(sequences.item, minlength=items + 1), width, loss)
    optimizer = torch.optim.Adagrad(model.parameters(), lr=LEARNING_RATE)
    feed, state = session_parallel(sequences), torch.zeros(BATCH, width)

    def one_round() -> float:
        nonlocal state
        began_s, steps = time.process_time(), 0
        while time.process_time() - began_s < ROUND_S:
            item, target, continues = next(feed)
            optimizer.zero_grad()
            value, after = model(item, target, state * continues[:, None])
            value.backward()
            optimizer.step()
            state, steps = after.detach(), steps + 1
        return steps * BATCH / (time.process_time() - began_s)

    return one_round


class _RoundOverError(Exception):
    pass


def ours(log: EventLog, settings: TrainingSettings) -> float:
    """Train for a round and return the transitions per CPU-second after its first step."""
    marks: list[tuple[float, float]] = []  # CPU-seconds and passes over the log at the end of each step

    def progress(epoch: int, share: float, metrics: dict[str, float] | None) -> None:
        marks.append((time.process_time(), epoch + share))
        if marks[-1][0] - marks[0][0] > ROUND_S:
            raise _RoundOverError

    with suppress(_RoundOverError):
        train_on_all(
            log,
            settings,
            Validation([{SELECTION_METRIC: float(epoch)} for epoch in range(settings.max_epochs)], None),
            progress,
        )
    cpu_s, passes = (end - begin for begin, end in zip(marks[0], marks[-1], strict=True))
    return passes * (len(log) - len(np.unique(log.user))) / cpu_s


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.throughput", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--dataset", choices=DATASETS, action="append", help="default: all")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    args = parser.parse_args()
    torch.set_num_threads(1)
    settings = settings_of(args.set)
    for name in args.dataset or DATASETS:
        log = DATASETS[name](args.data, False)[0]
        vocabulary = Vocabulary.from_log(log, settings.min_support)
        parts = Sequences.from_log(log, vocabulary), len(vocabulary.items), settings.width
        rounds = {"ours": lambda log=log: ours(log, settings)}
        rounds |= {loss: plain(*parts, loss) for loss in ("cross-entropy", "bpr-max")}
        rates = [{key: one_round() for key, one_round in rounds.items()} for _ in range(ROUNDS)]
        median = {key: round(float(np.median([rate[key] for rate in rates]))) for key in rounds}
        ratios = {f"over {key}": round(median["ours"] / median[key], 2) for key in rounds if key != "ours"}
        print(name, {"items": parts[1], "width": settings.width} | median | ratios, flush=True)


if __name__ == "__main__":
    main()
