"""The parallel scan of a linear recurrence."""

import torch
from torch import Tensor


def parallel_scan(keep: Tensor, added: Tensor, state: Tensor) -> Tensor:
    """The states h(t) = keep(t) h(t-1) + added(t) of all T steps, in about log2(T) passes.

    keep: (B, T, ...) in [0, 1], broadcast against added. added: (B, T, ...). state: (B, ...) before the first step.
    Returns (B, T, ...). Each pass doubles the span of steps that a state covers (Hillis & Steele 1986; Martin & Cundy
    2018). The function neither divides nor takes logarithms. A product that underflows therefore only forgets old
    steps, and any number of steps is safe.
    """
    first = added[:, :1] + keep[:, :1] * state.unsqueeze(1)
    states = torch.cat([first, added[:, 1:]], dim=1)
    span = 1
    while span < states.shape[1]:
        states = torch.cat([states[:, :span], states[:, span:] + keep[:, span:] * states[:, :-span]], dim=1)
        keep = torch.cat([keep[:, :span], keep[:, span:] * keep[:, :-span]], dim=1)
        span *= 2
    return states
