"""The compute resources of a training: the device, the precision, and the processes that train together.

torchrun starts the processes. Each process takes a part of the batches of an epoch. The processes add their gradients
before each step, so that all processes hold the same model. torch's DistributedDataParallel cannot add the gradients,
because it needs a module's forward call, and training does not make such a call.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as distributed
from numpy.typing import NDArray
from torch import Tensor, nn

from encoder.errors import InputError

Part = TypeVar("Part")
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Compute:
    """The share of a training that one process computes. Use it as a context manager around the training."""

    device: torch.device = CPU
    # Whether the matrix products of the forward pass are in bfloat16. Weights and the logits of the softmax are always
    # float32.
    uses_bfloat16: bool = False
    rank: int = 0  # number of this process
    world_size: int = 1  # number of processes

    @classmethod
    def start(cls, device: str) -> "Compute":
        """Use `device` (auto, cpu or cuda), and join the other processes when torchrun has started this one.

        Raises InputError when torch finds no such device.
        """
        has_cuda = torch.cuda.is_available()
        if device == "cuda" and not has_cuda:
            raise InputError("--device cuda: torch finds no CUDA device here; use --device cpu, or a torch with CUDA")
        is_cuda = has_cuda and device != "cpu"
        chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if is_cuda else CPU
        if is_cuda:
            torch.cuda.set_device(chosen)
        if "WORLD_SIZE" not in os.environ:
            return cls(chosen, uses_bfloat16=is_cuda)
        distributed.init_process_group("nccl" if is_cuda else "gloo")
        return cls(chosen, is_cuda, distributed.get_rank(), distributed.get_world_size())

    def __enter__(self) -> "Compute":
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the group of processes."""
        if distributed.is_initialized():
            distributed.destroy_process_group()

    def autocast(self) -> AbstractContextManager[object]:
        """The context of a forward pass, in which matrix products are in bfloat16 if the device uses bfloat16."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.uses_bfloat16 else nullcontext()

    def default_device(self) -> AbstractContextManager[object]:
        """The context of training steps, in which new tensors are on the device unless the code names a device."""
        return nullcontext() if self.device == CPU else self.device

    def tensor(self, array: NDArray[np.generic]) -> Tensor:
        """The array as a tensor on the device."""
        return torch.from_numpy(array).to(self.device)

    def equal_steps(self, parts: Iterable[Part]) -> Iterator[Part | None]:
        """Yield this process's parts, and then None while another process still has parts.

        All processes therefore make equally many steps.
        """
        if self.world_size == 1:
            yield from parts
            return
        own = iter(parts)
        while True:
            part = next(own, None)
            if not self.sum_over_ranks(float(part is not None))[0]:
                return
            yield part

    def sum_over_ranks(self, *numbers: float) -> tuple[float, ...]:
        """The sum of each number over all processes."""
        if self.world_size == 1:
            return numbers
        summed = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        distributed.all_reduce(summed)
        return tuple(summed.tolist())

    def average_gradients(self, parameters: Iterable[nn.Parameter], weight: float) -> None:
        """Replace each gradient by its weighted mean over all processes. weight: of this process; 0 without gradients.

        A missing gradient counts as 0, unless it is missing in all processes. All gradients travel in one tensor.
        """
        if self.world_size == 1:
            return
        (total,) = self.sum_over_ranks(weight)
        known = list(parameters)
        has = torch.tensor([float(p.grad is not None) for p in known], device=self.device)
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in known]
        flat = torch.cat([has, *(gradient.flatten() * (weight / max(total, 1)) for gradient in grads)])
        distributed.all_reduce(flat)
        any_has, summed = flat[: len(known)].tolist(), flat[len(known) :]
        for parameter, one_has, part in zip(
            known, any_has, torch.split(summed, [p.numel() for p in known]), strict=True
        ):
            parameter.grad = part.view_as(parameter).clone() if one_has else None

    def random_states(self) -> list[Tensor]:
        """The states of torch's random generators, of all processes in the order of their ranks."""
        own = [torch.get_rng_state()]
        if self.device.type == "cuda":
            own.append(torch.cuda.get_rng_state(self.device))
        if self.world_size == 1:
            return own
        gathered: list[list[Tensor]] = [[] for _ in range(self.world_size)]
        distributed.all_gather_object(gathered, own)
        return [state for states in gathered for state in states]

    def restore_random_states(self, states: list[Tensor]) -> None:
        """Restore this process's random generators from the result of `random_states`."""
        size = len(states) // self.world_size
        own = states[self.rank * size : (self.rank + 1) * size]
        torch.set_rng_state(own[0])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(own[1], self.device)


SINGLE_CPU = Compute()
