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
    """Steps parameters along their gradients; a parameter without a gradient stays as it is."""

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
        self._moments: list[tuple[nn.Parameter, Tensor, Tensor]] = [
            (parameter, torch.zeros_like(parameter), torch.zeros_like(parameter)) for parameter in parameters
        ]

    def state(self) -> dict[str, Any]:
        """What steps so far have left, apart from the parameters: to go on with in another process."""
        return {"steps": self._steps, "moments": [(mean, square) for _, mean, square in self._moments]}

    @torch.no_grad()
    def take(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave for the same parameters."""
        self._steps = state["steps"]
        for (_, mean, square), (old_mean, old_square) in zip(self._moments, state["moments"], strict=True):
            mean.copy_(old_mean)
            square.copy_(old_square)

    def zero_grad(self) -> None:
        for parameter, _, _ in self._moments:
            parameter.grad = None

    @torch.no_grad()
    def step(self, rate: float, clip_norm: float) -> None:
        """One update at this share of the learning rate, the gradient of all parameters cut to the norm `clip_norm`."""
        nn.utils.clip_grad_norm_([parameter for parameter, _, _ in self._moments], clip_norm)
        self._steps += 1
        first, second = self._betas
        correction = (1 - second**self._steps) ** 0.5
        learning_rate = self._learning_rate * rate
        size = learning_rate / (1 - first**self._steps)
        for parameter, mean, square in self._moments:
            if parameter.grad is None:
                continue
            mean.lerp_(parameter.grad, 1 - first)
            square.mul_(second).addcmul_(parameter.grad, parameter.grad, value=1 - second)
            parameter.mul_(1 - learning_rate * self._weight_decay)
            parameter.addcdiv_(mean, (square.sqrt() / correction).add_(self._epsilon), value=-size)
