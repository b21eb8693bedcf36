"""Minimises a function of a few tensors by L-BFGS (Liu & Nocedal 1989) with its gradient."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize as scipy_minimize
from torch import Tensor


def minimize(tensors: Sequence[Tensor], loss: Callable[[], Tensor], iterations: int) -> bool:
    """Change the tensors, which need gradients, so that the loss is small. Returns whether the outcome is finite.

    torch has the same method, whose first step loads the compiler of torch for 5 s.
    """
    sizes = [tensor.numel() for tensor in tensors]

    def place(values: NDArray[np.float64]) -> None:
        with torch.no_grad():
            for tensor, part in zip(tensors, np.split(values, np.cumsum(sizes)[:-1]), strict=True):
                tensor.copy_(torch.from_numpy(part).reshape(tensor.shape))

    def value_and_gradient(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        place(values)
        found = loss()
        gradients = torch.autograd.grad(found, tensors)
        return float(found.detach()), torch.cat([part.flatten() for part in gradients]).double().numpy()

    first = torch.cat([tensor.detach().flatten() for tensor in tensors]).double().numpy()
    found = scipy_minimize(value_and_gradient, first, jac=True, method="L-BFGS-B", options={"maxiter": iterations})
    place(found.x)
    return bool(np.isfinite(found.x).all() and np.isfinite(found.fun))
