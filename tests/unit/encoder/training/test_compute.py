"""Training that is shared by processes, and training in half precision, both on the CPU."""

import os
import socket
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
import torch.multiprocessing

from encoder.data.batches.windows import Window, windows
from encoder.data.features import PRICE
from encoder.data.simulator import Shop
from encoder.errors import InputError
from encoder.model.cells import CELLS
from encoder.training.compute import CPU, Compute
from encoder.training.losses.next_item import FullSoftmax, make_loss
from encoder.training.losses.window_loss import window_loss
from encoder.training.optimizer import AdamW
from encoder.training.settings import TrainingSettings
from encoder.training.snapshots import SnapshotFile
from encoder.training.train import train
from encoder.training.trainer import CLIP_NORM
from tests.support.bundles import tiny_model
from tests.support.content import model_with_all_features
from tests.support.sequences import random_sequences

USERS = np.arange(12)
DRAWN = ("sampled", "bpr-max")  # these losses read the rows of only some items


def first_window(users: np.ndarray) -> Window:
    return next(windows(random_sequences(), users, 8))


def gradients(window: Window | None, compute: Compute) -> dict[str, torch.Tensor]:
    """Return the gradients of a step that the processes of `compute` make together."""
    torch.set_num_threads(1)
    model = tiny_model(items=8).eval()  # without dropout, the gradients do not depend on how users are divided
    known = 0
    if window is not None:
        n = len(window.item)
        state, before = model.initial_recurrent_state(n), model.initial_representation(n)
        _, known, *_ = window_loss(model, FullSoftmax(), window, state, before, compute)
    compute.average_gradients(model.parameters(), known)
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def means(users: np.ndarray, compute: Compute, loss: str) -> list[torch.Tensor]:
    """Return the means of the gradients in the optimiser after a step with sampled items, which all processes share."""
    model = tiny_model(items=8).eval()
    optimizer = AdamW(model.parameters(), 0.01, 0.0)
    window, n = first_window(users), len(users)
    torch.manual_seed(5)
    criterion = make_loss(loss, torch.ones(8), 4)
    _, known, *_ = window_loss(
        model,
        criterion,
        window,
        model.initial_recurrent_state(n),
        model.initial_representation(n),
        compute,
        optimizer.read_rows,
    )
    compute.average_gradients(model.parameters(), known)
    optimizer.step(1.0, CLIP_NORM)
    return [mean for mean, _ in optimizer.state()["moments"]]


def one_process(rank: int, port: int, folder: str) -> None:
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "RANK": str(rank), "WORLD_SIZE": "2"}
    with Compute.start("cpu") as compute:
        assert (compute.rank, compute.world_size) == (rank, 2)
        parts = list(compute.equal_steps(range(3 - rank)))
        shares = gradients(first_window(USERS[:5] if rank else USERS[5:]), compute)
        idle = gradients(None if rank else first_window(USERS), compute)
        torch.save((parts, shares, idle, compute.random_states()), f"{folder}/step-{rank}.pt")
        torch.save(
            {loss: means(USERS[:5] if rank else USERS[5:], compute, loss) for loss in DRAWN}, f"{folder}/{rank}.pt"
        )
        torch.save(models_with_and_without_a_stop(compute, folder), f"{folder}/models-{rank}.pt")


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("localhost", 0))
        return int(bound.getsockname()[1])


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run two processes and return the folder in which each of them saved its results."""
    folder = tmp_path_factory.mktemp("processes")
    torch.multiprocessing.spawn(one_process, (free_port(), str(folder)), nprocs=2)
    return folder


def test_two_processes_make_the_same_step_as_one_process(two_processes: Path) -> None:
    parts, shares, idle, generators = zip(
        *(torch.load(two_processes / f"step-{rank}.pt") for rank in range(2)), strict=True
    )
    assert parts == ([0, 1, 2], [0, 1, None])
    alone = gradients(first_window(USERS), Compute())
    for of_ranks in (shares, idle):
        assert of_ranks[0].keys() == of_ranks[1].keys() == alone.keys()
        for name, gradient in alone.items():
            assert torch.equal(of_ranks[0][name], of_ranks[1][name]), name
            np.testing.assert_allclose(of_ranks[0][name], gradient, rtol=1e-4, atol=1e-6, err_msg=name)
    assert len(generators[0]) == 2
    assert all(torch.equal(a, b) for a, b in zip(*generators, strict=True))


@pytest.mark.parametrize("loss", DRAWN)
def test_two_processes_use_the_same_sampled_items(two_processes: Path, loss: str) -> None:
    first, second = (torch.load(two_processes / f"{rank}.pt")[loss] for rank in range(2))
    for of_first, of_second, alone in zip(first, second, means(USERS, Compute(), loss), strict=True):
        assert torch.equal(of_first, of_second)
        np.testing.assert_allclose(of_first, alone, rtol=1e-4, atol=1e-6)


def models_with_and_without_a_stop(compute: Compute, folder: str) -> list[dict[str, torch.Tensor]]:
    log = Shop(7, 60, 40).simulate(500)
    shape = TrainingSettings(width=16, hidden=16, max_epochs=2, events_per_step=128, batching="parallel", window=16)
    settings = msgspec.structs.replace(shape, loss="sampled", negatives=32)

    def stop(epoch: int, share: float, metrics: dict[str, float] | None) -> None:
        if epoch == 1 and share > 0.5:
            raise KeyboardInterrupt

    whole = train(log, settings, compute=compute)
    with pytest.raises(KeyboardInterrupt):
        train(log, settings, stop, compute=compute, snapshots=SnapshotFile(folder, {}))
    snapshots = SnapshotFile(folder, {})
    assert snapshots.found is not None
    again = train(log, settings, compute=compute, snapshots=snapshots)
    return [whole.model.state_dict(), again.model.state_dict()]


def test_two_processes_have_the_same_model_also_after_a_stop(two_processes: Path) -> None:
    first, *others = [model for rank in range(2) for model in torch.load(two_processes / f"models-{rank}.pt")]
    assert len(others) == 3
    for other in others:
        for name, value in first.items():
            assert value.numpy().tobytes() == other[name].numpy().tobytes(), name


@pytest.mark.parametrize("loss", ["softmax", *DRAWN])
def test_loss_and_gradients_in_bfloat16_are_close_to_those_in_float32(loss: str) -> None:
    def step(compute: Compute) -> tuple[float, torch.Tensor, set[torch.dtype]]:
        model = tiny_model(items=8).eval()
        window = first_window(USERS)
        n = len(window.item)
        seen: set[torch.dtype] = set()
        torch.manual_seed(5)
        criterion = make_loss(loss, torch.ones(8), 4)
        model.head.register_forward_hook(lambda module, inputs, output: seen.add(output.dtype))
        total, known, state, *_ = window_loss(
            model, criterion, window, model.initial_recurrent_state(n), model.initial_representation(n), compute
        )
        assert state.dtype == torch.float32
        assert {p.grad.dtype for p in model.parameters() if p.grad is not None} == {torch.float32}
        flat = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        return total / known, flat, seen

    full, full_gradient, full_seen = step(Compute())
    half, half_gradient, half_seen = step(Compute(CPU, uses_bfloat16=True))
    assert (full_seen, half_seen) == ({torch.float32}, {torch.bfloat16})
    assert half == pytest.approx(full, rel=5e-3)
    assert half != full
    assert float(torch.cosine_similarity(half_gradient, full_gradient, dim=0)) > 0.999


@pytest.mark.parametrize("loss", ["softmax", "sampled"])
def test_training_in_bfloat16_learns_as_well_as_in_float32(loss: str) -> None:
    log = Shop(7, 60, 40).simulate(600)
    settings = TrainingSettings(width=16, hidden=16, max_epochs=1, events_per_step=128, loss=loss, negatives=32)
    assert settings.neighbours
    full, half = (
        train(log, settings, compute=Compute(CPU, uses_bfloat16=is_half)).epochs[0] for is_half in (False, True)
    )
    assert half["loss"] == pytest.approx(full["loss"], rel=5e-3)
    assert half["loss"] != full["loss"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_an_absent_device_is_refused() -> None:
    with pytest.raises(InputError, match="--device cuda: torch finds no CUDA device here; use --device cpu"):
        Compute.start("cuda")
    assert Compute.start("auto") == Compute()


@pytest.mark.parametrize("cell", CELLS)
def test_a_model_computes_on_the_device_of_its_weights(cell: str) -> None:
    """Use torch's device without memory, on which an operation refuses tensors of the CPU, as on CUDA."""
    for model in (tiny_model(cell=cell), model_with_all_features()):
        on_meta = model.to("meta")
        events = torch.ones(3, 5, dtype=torch.int64, device="meta")
        prices = torch.ones(3, 5, device="meta")
        features = {name: prices if name == PRICE else events for name in model.config.features}
        for is_training in (False, True):
            on_meta.train(is_training)
            represented, state = on_meta.sequence(events, events, events, on_meta.initial_recurrent_state(3), features)
            vectors = on_meta.item_vectors()
            assert {tensor.device.type for tensor in (represented, state, vectors)} == {"meta"}
        if on_meta.heads is not None:
            assert on_meta.heads.outputs(represented[:, -1])[0].device.type == "meta"
