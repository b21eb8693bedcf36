"""AdamW (Loshchilov & Hutter 2019) in its plainest form, with steps that touch only some rows of a table.

The first optimiser of torch.optim loads torch's compiler, which takes longer than a training on a small log. See
docs/decisions.md#an-optimiser-of-our-own.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

WARMUP = 0.01  # share of a run in which the learning rate rises


def cosine(done: float) -> float:
    """The share of the full learning rate when the share `done` of a run is over: a short rise, then a cosine to 0."""
    return min(1.0, 0.1 + done / WARMUP) * 0.5 * (1 + math.cos(math.pi * done))


class AdamW:
    """Steps parameters along their gradients. A parameter without a gradient does not change.

    A table whose rows were read by `read_rows` is stepped only in these rows. Another row catches up when it is read
    the next time. Without a gradient, a row moves by the rest of its momentum and by its weight decay, and the sums of
    both over several steps have closed forms. The weights equal those of dense gradients, apart from the change of the
    learning rate in the meantime.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        learning_rate: float,
        weight_decay: float,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
    ) -> None:
        self._learning_rate = learning_rate
        self._weight_decay = weight_decay
        self._betas = betas
        self._epsilon = epsilon
        self._steps = 0
        self._size = self._correction = 0.0  # of the last step: step size, and bias correction of the root mean squares
        self._log_kept = 0.0  # log of the share of a weight that is left after the weight decay of all steps
        self._moments: list[tuple[nn.Parameter, Tensor, Tensor]] = [
            (parameter, torch.zeros_like(parameter), torch.zeros_like(parameter)) for parameter in parameters
        ]
        # Table -> (rows,) float64 number of the last step that each row has seen, and `_log_kept` after that step.
        self._last_step: dict[Tensor, tuple[Tensor, Tensor]] = {}
        # Table -> (n,) rows that were read for the next step, and their (n, D) weights, means and squares.
        self._read: dict[Tensor, tuple[Tensor, Tensor, Tensor, Tensor]] = {}

    def state(self) -> dict[str, Any]:
        """The state of the optimiser without the parameters, for `restore`. The names are keys of snapshot files.

        All rows catch up first, so that the state does not depend on the last step of each row.
        """
        self.catch_up()
        return {
            "steps": self._steps,
            "size": self._size,
            "correction": self._correction,
            "log_kept": self._log_kept,
            "moments": [(mean, square) for _, mean, square in self._moments],
        }

    @torch.no_grad()
    def restore(self, state: dict[str, Any]) -> None:
        """Continue from the result of `state` for the same parameters."""
        self._steps, self._log_kept = state["steps"], state["log_kept"]
        self._size, self._correction = state["size"], state["correction"]
        self._last_step.clear()
        for (_, mean, square), (old_mean, old_square) in zip(self._moments, state["moments"], strict=True):
            mean.copy_(old_mean)
            square.copy_(old_square)

    def zero_grad(self) -> None:
        """Forget all gradients, and the rows that were read for the last step."""
        self._read.clear()
        for parameter, _, _ in self._moments:
            parameter.grad = None

    def read_rows(self, table: Tensor, rows: Tensor) -> Tensor:
        """(n,) int64 distinct rows of a parameter -> (n, D) their current weights.

        The next step moves these rows along the gradient of the result. A table can be read once in a step.
        """
        self._read[table] = rows, *self._caught_up(table, rows)
        return self._read[table][1].requires_grad_()

    @torch.no_grad()
    def step(self, rate: float, clip_norm: float) -> None:
        """Make one update. rate: share of the learning rate. clip_norm: largest norm of the whole gradient."""
        whole = [parts for parts in self._moments if parts[0].grad is not None]
        some = [parts for _, *parts in self._read.values() if parts[0].grad is not None]
        self._clip([weight.grad for weight, _, _ in (*whole, *some) if weight.grad is not None], clip_norm)
        self._steps += 1
        first, second = self._betas
        self._correction = (1 - second**self._steps) ** 0.5
        learning_rate = self._learning_rate * rate
        self._size = learning_rate / (1 - first**self._steps)
        self._log_kept += math.log1p(-learning_rate * self._weight_decay)
        for weight, mean, square in (*whole, *some):
            assert weight.grad is not None
            mean.lerp_(weight.grad, 1 - first)
            square.mul_(second).addcmul_(weight.grad, weight.grad, value=1 - second)
            weight.mul_(1 - learning_rate * self._weight_decay)
            weight.addcdiv_(mean, self._root(square), value=-self._size)
        for table, (rows, *parts) in self._read.items():
            if parts[0].grad is not None:
                self._write_rows(table, rows, parts)

    def catch_up(self) -> None:
        """Let all rows of all tables catch up. This is necessary before a table is read as a whole."""
        for table in self._last_step:
            rows = torch.arange(len(table), device=table.device)
            self._write_rows(table, rows, self._caught_up(table, rows))

    @torch.no_grad()
    def _caught_up(self, table: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(n, D) weights, means and squares of these rows after all steps, each as if the row had seen all steps."""
        if table not in self._last_step:
            now = torch.tensor([self._steps, self._log_kept], dtype=torch.float64, device=table.device)
            steps, log_kept = now[:, None].repeat(1, len(table))
            self._last_step[table] = steps, log_kept
        steps, log_kept = self._last_step[table]
        first, second = self._betas
        missed = (self._steps - steps[rows])[:, None]
        weight, mean, square = (part[rows] for part in self._parts(table))
        # In the k-th step without a gradient, the mean has the factor first^k and the root has second^(k / 2).
        ratio = first / second**0.5
        moved = ratio * (1 - ratio**missed) / (1 - ratio) * self._size
        weight *= torch.exp(self._log_kept - log_kept[rows]).float()[:, None]
        if self._steps:
            weight -= mean / self._root(square) * moved.float()
        return weight, mean.mul_((first**missed).float()), square.mul_((second**missed).float())

    @torch.no_grad()
    def _write_rows(self, table: Tensor, rows: Tensor, parts: Iterable[Tensor]) -> None:
        for whole, part in zip(self._parts(table), parts, strict=True):
            whole.index_copy_(0, rows, part)
        steps, log_kept = self._last_step[table]
        steps[rows], log_kept[rows] = float(self._steps), self._log_kept

    def _parts(self, table: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return next(parts for parts in self._moments if parts[0] is table)

    def _root(self, square: Tensor) -> Tensor:
        return (square.sqrt() / self._correction).add_(self._epsilon)

    @staticmethod
    def _clip(gradients: list[Tensor], norm: float) -> None:
        """Scale all gradients so that their common norm is at most `norm`."""
        total = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(part) for part in gradients]))
        share = (norm / (total + 1e-6)).clamp(max=1.0)
        for part in gradients:
            part.mul_(share)
