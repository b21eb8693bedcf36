"""Optimiser steps in which only a few rows of a table have gradients."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from encoder.training.optimizer import AdamW, cosine

ROWS, WIDTH, STEPS, BEGINNING = 20, 3, 600, 50


@pytest.mark.parametrize("weight_decay", [0.0, 0.5])
def test_delayed_updates_of_rows_equal_dense_steps(weight_decay: float) -> None:
    """In each step a few rows have a gradient, and some rows have one very rarely.

    In the first steps all rows have a gradient, since the bias correction changes from step to step.
    """
    torch.manual_seed(0)
    start = torch.randn(ROWS, WIDTH)
    dense, sparse = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    by_dense, by_sparse = (AdamW([table], 0.01, weight_decay) for table in (dense, sparse))
    chance = torch.logspace(-2, 0, ROWS)
    for step in range(STEPS):
        rows = torch.arange(ROWS) if step < BEGINNING else torch.multinomial(chance, 4).sort().values
        goal, rate = torch.randn(len(rows), WIDTH), cosine(step / STEPS)
        for table, optimizer in ((dense, by_dense), (sparse, by_sparse)):
            optimizer.zero_grad()
            read = optimizer.read_rows(table, rows) if table is sparse else functional.embedding(rows, table)
            (read - goal).square().sum().backward()
            optimizer.step(rate, 5.0)
    by_sparse.catch_up()
    moved = (dense - start).detach()
    assert float((sparse - dense).detach().abs().max()) < 0.04 * float(moved.abs().max())


def test_the_gradient_norm_includes_rows_and_whole_parameters() -> None:
    table, vector = nn.Parameter(torch.zeros(5, 1)), nn.Parameter(torch.zeros(1))
    optimizer = AdamW([table, vector], 0.1, 0.0)
    rows = torch.tensor([1, 3])
    read = optimizer.read_rows(table, rows)
    loss = (3 * read).sum() + (vector * 4).sum()
    loss.backward()
    optimizer.step(1.0, 1.0)
    assert read.grad is not None
    assert vector.grad is not None
    norm = 34**0.5  # the norm of (3, 3, 4)
    assert read.grad.flatten().tolist() == pytest.approx([3 / norm, 3 / norm], abs=1e-5)
    assert vector.grad.tolist() == pytest.approx([4 / norm], abs=1e-5)
