"""AdamW (Loshchilov & Hutter 2019) in the plainest form.

torch.optim's first optimiser loads torch's compiler, which takes longer than training on a small log does.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

WARMUP = 0.01  # share of a run over which the learning rate rises


def cosine(done: float) -> float:
    """Share of the full learning rate when the share `done` of a run is over: a short rise, then half a cosine to 0."""
    return min(1.0, 0.1 + done / WARMUP) * 0.5 * (1 + math.cos(math.pi * done))


class AdamW:
    """Steps parameters along their gradients; a parameter without a gradient stays as it is.

    Of a table with sparse gradients only the rows in them are stepped, if the others are caught up with before they are
    read: a row without a gradient moves by what is left of its momentum and by its weight decay, both of which add up
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

    def zero_grad(self) -> None:
        for parameter, _, _ in self._moments:
            parameter.grad = None

    @torch.no_grad()
    def step(self, rate: float, clip_norm: float) -> None:
        """One update at this share of the learning rate, the gradient of all parameters cut to the norm `clip_norm`."""
        self._clip(clip_norm)
        self._steps += 1
        first, second = self._betas
        self._correction = (1 - second**self._steps) ** 0.5
        learning_rate = self._learning_rate * rate
        self._size = learning_rate / (1 - first**self._steps)
        self._log_kept += math.log1p(-learning_rate * self._weight_decay)
        for parameter, mean, square in self._moments:
            if parameter.grad is None:
                continue
            gradient, rows = parameter.grad, None
            parts: tuple[Tensor, ...] = (parameter, mean, square)
            if gradient.is_sparse:
                rows, gradient = gradient.indices()[0], gradient.values()
                parts = tuple(part[rows] for part in parts)
            weight, means, squares = parts
            means.lerp_(gradient, 1 - first)
            squares.mul_(second).addcmul_(gradient, gradient, value=1 - second)
            weight.mul_(1 - learning_rate * self._weight_decay)
            weight.addcdiv_(means, self._root(squares), value=-self._size)
            if rows is not None:
                self._put(parameter, rows, parts)

    @torch.no_grad()
    def catch_up(self, parameter: Tensor, rows: Tensor | None = None) -> None:
        """Bring rows of a table, None for all, to where the steps since their last gradient have moved them. rows: (n,)
        int64, each once."""
        at = self._index(parameter)
        if parameter not in self._as_of:
            beginning = torch.zeros(len(parameter), dtype=torch.float64)
            self._as_of[parameter] = beginning, beginning.clone()
        steps, log_kept = self._as_of[parameter]
        behind = torch.nonzero((steps if rows is None else steps[rows]) < self._steps).flatten()
        rows = behind if rows is None else rows[behind]
        _, means, squares = self._moments[at]
        mean, square = means[rows], squares[rows]
        first, second = self._betas
        missed = self._steps - steps[rows]
        # In the k-th step without a gradient the mean is first^k and the root second^(k / 2) of what it was.
        ratio = first / second**0.5
        moved = ratio * (1 - ratio**missed) / (1 - ratio) * self._size
        weight = parameter[rows] * torch.exp(self._log_kept - log_kept[rows]).float()[:, None]
        weight -= moved.float()[:, None] * mean / self._root(square)
        mean *= (first**missed).float()[:, None]
        square *= (second**missed).float()[:, None]
        self._put(parameter, rows, (weight, mean, square))

    def settle(self) -> None:
        """Catch up with all rows of all tables: before they are read as a whole."""
        for parameter in self._as_of:
            self.catch_up(parameter)

    def _put(self, parameter: Tensor, rows: Tensor, parts: tuple[Tensor, ...]) -> None:
        for whole, part in zip(self._moments[self._index(parameter)], parts, strict=True):
            whole.index_copy_(0, rows, part)
        steps, log_kept = self._as_of[parameter]
        steps[rows], log_kept[rows] = float(self._steps), self._log_kept

    def _root(self, square: Tensor) -> Tensor:
        return (square.sqrt() / self._correction).add_(self._epsilon)

    def _index(self, parameter: Tensor) -> int:
        return next(at for at, (known, _, _) in enumerate(self._moments) if known is parameter)

    def _clip(self, norm: float) -> None:
        """Scale all gradients so that together they have at most this norm."""
        values = []
        for parameter, _, _ in self._moments:
            if parameter.grad is not None and parameter.grad.is_sparse:
                parameter.grad = parameter.grad.coalesce()
                values.append(parameter.grad.values())
            elif parameter.grad is not None:
                values.append(parameter.grad)
        total = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(value) for value in values]))
        share = (norm / (total + 1e-6)).clamp(max=1.0)
        for value in values:
            value.mul_(share)
