"""Where a training computes: the device, the precision, and the processes that share it.

Several processes, started by torchrun, each take a part of every epoch's batches and add their gradients before each
step, so that all of them hold the same model. They are added by hand: torch's DistributedDataParallel hooks into a
forward pass that training does not use.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as processes
from numpy.typing import NDArray
from torch import Tensor, nn

from encoder.errors import InputError

Part = TypeVar("Part")
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Compute:
    """One process's share of a training."""

    device: torch.device = CPU
    # Whether matrix products of the forward pass are in bfloat16. Weights and the softmax's logits are float32 always.
    is_half: bool = False
    rank: int = 0  # of this process
    ranks: int = 1  # processes

    @classmethod
    def start(cls, device: str) -> "Compute":
        """On `device`: auto, cpu or cuda; together with the other processes where torchrun started this one.

        Raises InputError where there is no such device.
        """
        has_cuda = torch.cuda.is_available()
        if device == "cuda" and not has_cuda:
            raise InputError("--device cuda: torch finds no CUDA device here; use --device cpu, or a torch with CUDA")
        is_cuda = has_cuda and device != "cpu"
        chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if is_cuda else CPU
        if is_cuda:
            torch.cuda.set_device(chosen)
        if "WORLD_SIZE" not in os.environ:
            return cls(chosen, is_half=is_cuda)
        processes.init_process_group("nccl" if is_cuda else "gloo")
        return cls(chosen, is_cuda, processes.get_rank(), processes.get_world_size())

    def __enter__(self) -> "Compute":
        return self

    def __exit__(self, *error: object) -> None:
        """Part from the other processes."""
        if processes.is_initialized():
            processes.destroy_process_group()

    def half(self) -> AbstractContextManager[object]:
        """The forward pass belongs in here."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.is_half else nullcontext()

    def draws(self) -> AbstractContextManager[object]:
        """What is drawn or made in here without naming a device is on this one: steps belong in here."""
        return nullcontext() if self.device == CPU else self.device

    def tensor(self, array: NDArray[np.generic]) -> Tensor:
        """The array on the device."""
        return torch.from_numpy(array).to(self.device)

    def together(self, parts: Iterable[Part]) -> Iterator[Part | None]:
        """This process's parts, then None for as long as another process has one: all make equally many steps."""
        if self.ranks == 1:
            yield from parts
            return
        own = iter(parts)
        while True:
            part = next(own, None)
            if not self.sum(float(part is not None))[0]:
                return
            yield part

    def sum(self, *numbers: float) -> tuple[float, ...]:
        """Each number's sum over the processes."""
        if self.ranks == 1:
            return numbers
        summed = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        processes.all_reduce(summed)
        return tuple(summed.tolist())

    def average_gradients(self, parameters: Iterable[nn.Parameter], weight: float) -> None:
        """Replace each gradient by the processes' mean of it. weight: of this process's, 0 where it has none.

        All gradients travel in one tensor; that of a parameter without one counts as 0, unless no process has one.
        """
        if self.ranks == 1:
            return
        (total,) = self.sum(weight)
        known = list(parameters)
        has = torch.tensor([float(p.grad is not None) for p in known], device=self.device)
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in known]
        flat = torch.cat([has, *(gradient.flatten() * (weight / max(total, 1)) for gradient in grads)])
        processes.all_reduce(flat)
        any_has, summed = flat[: len(known)].tolist(), flat[len(known) :]
        for parameter, one_has, part in zip(
            known, any_has, torch.split(summed, [p.numel() for p in known]), strict=True
        ):
            parameter.grad = part.view_as(parameter).clone() if one_has else None

    def generators(self) -> list[Tensor]:
        """The states of torch's generators of random numbers, those of all processes one after another."""
        own = [torch.get_rng_state()]
        if self.device.type == "cuda":
            own.append(torch.cuda.get_rng_state(self.device))
        if self.ranks == 1:
            return own
        gathered: list[list[Tensor]] = [[] for _ in range(self.ranks)]
        processes.all_gather_object(gathered, own)
        return [state for of_rank in gathered for state in of_rank]

    def set_generators(self, states: list[Tensor]) -> None:
        """Put this process's generators into the states that `generators` gave."""
        size = len(states) // self.ranks
        own = states[self.rank * size : (self.rank + 1) * size]
        torch.set_rng_state(own[0])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(own[1], self.device)
