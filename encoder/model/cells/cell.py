"""The interface of a cell."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Cell(nn.Module, ABC):
    """A recurrent cell with input width E, state width S and output width H."""

    def __init__(self, input_width: int, state_width: int, output_width: int) -> None:
        super().__init__()
        self.input_width = input_width
        self.state_width = state_width
        self.output_width = output_width

    def initial_state(self, batch: int) -> Tensor:
        """(batch, S) float32 state of users without history."""
        return torch.zeros(batch, self.state_width, device=next(self.parameters()).device)

    @property
    @abstractmethod
    def input_weight(self) -> Tensor:
        """(P, E) weight of the linear map by which the cell reads its inputs. The cell reads them nowhere else."""

    @abstractmethod
    def step(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(B, E) inputs of one event, (B, S) states -> (B, H) outputs, (B, S) next states."""

    @abstractmethod
    def sequence(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, E) inputs of T events, (B, S) states before the events -> (B, T, H) outputs, (B, S) last states."""
