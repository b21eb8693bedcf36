"""Small bundles for tests: real graphs of an untrained model with random weights."""

from pathlib import Path

import torch

from encoder.model import ModelConfig, UserModel
from encoder.vocabulary import Vocabulary
from export.bundle import Bundle
from export.exporter import export_model

torch.set_num_threads(1)  # for models this small a second thread costs more than it does

ACTIONS = ["view", "cart", "purchase"]


def tiny_model(items: int = 500, width: int = 32, seed: int = 0, cell: str = "gru", layers: int = 1) -> UserModel:
    """A model of all the parts that training gives one; its state is wider than its representation, so that mixing
    them up fails."""
    torch.manual_seed(seed)
    actions = len(ACTIONS)
    shape = ModelConfig(
        items=items, actions=actions, cell=cell, layers=layers, width=width, hidden=width + 8, traces=True, heads=True
    )
    model = UserModel(shape)
    model.start_from_popularity(torch.arange(items, 0, -1))
    assert model.traces is not None
    for weight in (model.shortcut.weight, model.following.weight, model.traces.map.weight):  # zero until trained
        torch.nn.init.normal_(weight, std=0.1)
    assert model.heads is not None
    for weight in (model.heads.action.weight, model.heads.time.weight):
        torch.nn.init.normal_(weight, std=0.1)
    return model.eval()


def tiny_bundle(path: Path, items: int = 500, width: int = 32, seed: int = 0) -> Bundle:
    """Export a tiny model of items item-1..item-N and the actions view, cart, purchase into the folder `path`."""
    vocabulary = Vocabulary(items=[f"item-{i}" for i in range(1, items + 1)], actions=ACTIONS)
    return export_model(tiny_model(items, width, seed), vocabulary, path)
