"""One training step: the forward pass over a window, the loss, and the gradients."""

from typing import NamedTuple

import torch
from torch import Tensor

from encoder.data.batches.windows import Window
from encoder.model.heads import heads_loss
from encoder.model.item_table import RowReader, read_rows
from encoder.model.user_model import UserModel
from encoder.training.compute import SINGLE_CPU, Compute
from encoder.training.losses.next_item import Loss

# Weight of the heads' loss relative to the loss of the next item. Validation MRR@20 of REES46 is .1899 with heads and
# .1876 without heads. See docs/decisions.md#weight-of-the-heads.
HEADS_WEIGHT = 0.05


class WindowLoss(NamedTuple):
    """The result of a step over a window of B users. The states and representations have no gradients."""

    total: float  # sum of the losses of the next items
    known_items: int  # number of events whose item is in the catalogue
    state: Tensor  # (B, S) at the end of the window
    representation: Tensor  # (B, R) at the end of the window
    minimised: float  # mean loss of the next items, and the weighted loss of the heads


def carry_over(
    model: UserModel, window: Window, state: Tensor, representation: Tensor, compute: Compute = SINGLE_CPU
) -> tuple[Tensor, Tensor]:
    """(B, S) states and (B, R) representations at the start of a window.

    state, representation: those at the end of the previous window. A row that continues a row of the previous window
    has the values of that row, and a new user has the initial values.
    """
    users = len(window.previous_row)
    first_state, first_representation = model.initial_recurrent_state(users), model.initial_representation(users)
    if window.starts_all_users:
        return first_state, first_representation
    row = compute.tensor(window.previous_row)
    starts, row = (row < 0)[:, None], row.clamp(min=0)
    return (
        torch.where(starts, first_state, state[row]),
        torch.where(starts, first_representation, representation[row]),
    )


def window_loss(
    model: UserModel,
    criterion: Loss,
    window: Window,
    state: Tensor,
    representation: Tensor,
    compute: Compute = SINGLE_CPU,
    read: RowReader = read_rows,
) -> WindowLoss:
    """Add the gradients of a window's mean loss to the model's parameters.

    The loss is that of each known item under the representation before its event, plus HEADS_WEIGHT times the loss of
    the heads. state, representation: (B, S) and (B, R) at the start of the window. read: reads rows of the item tables
    when the criterion draws negatives, so that the step only touches the rows of some items.
    """
    item, action, gap_ms = (compute.tensor(part) for part in (window.item, window.action, window.gap_ms))
    sample = criterion.draw()
    if sample is None or compute.world_size > 1:  # gradients of rows cannot be averaged: each process has other rows
        model.begin_step()
    else:
        model.begin_step(torch.cat([item.flatten(), sample.position + 1]), read)
    features = {name: compute.tensor(window.features[name]) for name in model.config.features}
    with compute.autocast():
        after, state = model.sequence(item, action, gap_ms, state, features)
    after, state = after.float(), state.float()
    known = item > 0
    before = torch.cat([representation.unsqueeze(1), after[:, :-1]], dim=1)
    target = item[known]
    total = minimised = 0.0
    if len(target):
        if sample is not None:
            sample = sample._replace(position=model.table_rows(sample.position + 1) - 1)
        with compute.autocast():
            scoring = before[known][:, : model.config.width]
            loss = criterion(scoring, model.item_vectors(), model.table_rows(target) - 1, sample)
        total = float(loss.detach())
        mean = loss / len(target)
        if model.heads is not None:
            mean = mean + HEADS_WEIGHT * heads_loss(model.heads, window, before, after)
        torch.autograd.backward(mean)
        minimised = float(mean.detach())
    return WindowLoss(total, len(target), state.detach(), after[:, -1].detach(), minimised)
