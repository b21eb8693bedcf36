"""A model whose item vectors and representations are rotated, and whose scores stay as they are."""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor

from encoder.model.user_model import UserModel


@torch.no_grad()
def rotated(model: UserModel, rotation: Tensor) -> UserModel:
    """A copy of the model in which every item vector v and the first D components r of every representation are
    R v and R r.

    rotation: (D, D) float64, an orthogonal R. A dot product R v · R r is v · r, so scores, ranks and the heads' outputs
    stay as they are, except for the rounding of float32. Item vectors are also inputs of the model, so all inputs are
    rotated, and whatever reads inputs is rotated back. The state of the cell, of the counters and of the recent items
    stays as it is. The traces are sums in the space of representations, so they are rotated.
    """
    model = copy.deepcopy(model).eval()
    for rows in _rows(model):
        rows.copy_(rows.double() @ rotation.T)
    for weight in (model.head.weight, model.shortcut.weight):
        weight.copy_(rotation @ weight.double())
    for weight in (model.cell.input_weight, model.shortcut.weight):
        weight.copy_(weight.double() @ rotation.T)
    if model.traces is not None:
        width, weight = model.traces.output_width, model.traces.map.weight
        by_decay = weight.double().view(-1, width, weight.shape[1])  # (K, D, E)
        weight.copy_((rotation @ by_decay @ rotation.T).flatten(0, 1))
    if model.heads is not None:
        scoring = model.heads.hidden.weight[:, : model.config.width]
        scoring.copy_(scoring.double() @ rotation.T)
    return model


def _rows(model: UserModel) -> Iterator[Tensor]:
    """All parts of inputs and of representations that are rows of width D."""
    yield from (model.items.weight, model.actions.weight, model.gaps.weight)
    yield from (model.following.weight, model.head.bias)
    if model.content is not None:
        yield from model.content.tables.values()
    if model.embeddings is not None:
        yield model.embeddings.weight
    if model.week_hours is not None:
        yield from (model.week_hours.hours, model.week_hours.days)
