"""AdamW (Loshchilov & Hutter 2019) in the plainest form.

torch.optim's first optimiser loads torch's compiler, which takes longer than training on a small log does.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

WARMUP = 0.01  # share of a run over which the learning rate rises


def cosine(done: float) -> float:
    """Share of the full learning rate when the share `done` of a run is over: a short rise, then half a cosine to 0."""
    return min(1.0, 0.1 + done / WARMUP) * 0.5 * (1 + math.cos(math.pi * done))


class AdamW:
    """Steps parameters along their gradients; a parameter without a gradient stays as it is.

    Of a table that is read by `read` only the rows that were read are stepped. The others catch up when they are read
    next: without a gradient a row moves by what is left of its momentum and by its weight decay, both of which add up
    in closed form. The weights are those of dense gradients, up to how much the learning rate changes meanwhile.
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
        self._size = self._correction = 0.0  # of the last step: of an update, and of the squares' root
        self._log_kept = 0.0  # log of the share of a weight that the decay of all steps so far has left
        self._moments: list[tuple[nn.Parameter, Tensor, Tensor]] = [
            (parameter, torch.zeros_like(parameter), torch.zeros_like(parameter)) for parameter in parameters
        ]
        # Of a table: (rows,) float64 number of the step that a row is as of, and `_log_kept` of then.
        self._as_of: dict[Tensor, tuple[Tensor, Tensor]] = {}
        # Of a table: (n,) rows that were read for this step, their (n, D) weights, means and squares.
        self._read: dict[Tensor, tuple[Tensor, Tensor, Tensor, Tensor]] = {}

    def state(self) -> dict[str, Any]:
        """What steps so far have left, apart from the parameters: to go on with in another process. All rows catch up
        before, so that nothing tells them apart."""
        self.settle()
        return {
            "steps": self._steps,
            "size": self._size,
            "correction": self._correction,
            "log_kept": self._log_kept,
            "moments": [(mean, square) for _, mean, square in self._moments],
        }

    @torch.no_grad()
    def take(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave for the same parameters."""
        self._steps, self._log_kept = state["steps"], state["log_kept"]
        self._size, self._correction = state["size"], state["correction"]
        self._as_of.clear()
        for (_, mean, square), (old_mean, old_square) in zip(self._moments, state["moments"], strict=True):
            mean.copy_(old_mean)
            square.copy_(old_square)

    def zero_grad(self) -> None:
        self._read.clear()
        for parameter, _, _ in self._moments:
            parameter.grad = None

    def read(self, table: Tensor, rows: Tensor) -> Tensor:
        """(n, D) rows of a parameter as they are now, for the next step to go along their gradient. rows: (n,) int64,
        each once; one reading of a table for a step."""
        self._read[table] = rows, *self._caught_up(table, rows)
        return self._read[table][1].requires_grad_()

    @torch.no_grad()
    def step(self, rate: float, clip_norm: float) -> None:
        """One update at this share of the learning rate, the gradient of all parameters cut to the norm `clip_norm`."""
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
                self._put(table, rows, parts)

    def settle(self) -> None:
        """Catch up with all rows of all tables: before they are read as a whole."""
        for table in self._as_of:
            rows = torch.arange(len(table), device=table.device)
            self._put(table, rows, self._caught_up(table, rows))

    @torch.no_grad()
    def _caught_up(self, table: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(n, D) weights, means and squares of rows after all steps so far."""
        if table not in self._as_of:
            now = torch.tensor([self._steps, self._log_kept], dtype=torch.float64, device=table.device)
            steps, log_kept = now[:, None].repeat(1, len(table))
            self._as_of[table] = steps, log_kept
        steps, log_kept = self._as_of[table]
        first, second = self._betas
        missed = (self._steps - steps[rows])[:, None]
        weight, mean, square = (part[rows] for part in self._parts(table))
        # In the k-th step without a gradient the mean is first^k and the root second^(k / 2) of what it was.
        ratio = first / second**0.5
        moved = ratio * (1 - ratio**missed) / (1 - ratio) * self._size
        weight *= torch.exp(self._log_kept - log_kept[rows]).float()[:, None]
        if self._steps:
            weight -= mean / self._root(square) * moved.float()
        return weight, mean.mul_((first**missed).float()), square.mul_((second**missed).float())

    @torch.no_grad()
    def _put(self, table: Tensor, rows: Tensor, parts: Iterable[Tensor]) -> None:
        for whole, part in zip(self._parts(table), parts, strict=True):
            whole.index_copy_(0, rows, part)
        steps, log_kept = self._as_of[table]
        steps[rows], log_kept[rows] = float(self._steps), self._log_kept

    def _parts(self, table: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return next(parts for parts in self._moments if parts[0] is table)

    def _root(self, square: Tensor) -> Tensor:
        return (square.sqrt() / self._correction).add_(self._epsilon)

    @staticmethod
    def _clip(gradients: list[Tensor], norm: float) -> None:
        """Scale all gradients so that together they have at most this norm."""
        total = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(part) for part in gradients]))
        share = (norm / (total + 1e-6)).clamp(max=1.0)
        for part in gradients:
            part.mul_(share)
