"""Items that training has not seen: a catalogue beyond it, with vectors from what the items are."""

import msgspec
import numpy as np
import torch

from encoder.data.event_log import EventLog
from encoder.data.feature_extraction import item_features
from encoder.data.vocabulary import Vocabulary
from encoder.errors import InputError
from encoder.model.user_model import ModelConfig, UserModel, directions

SEED = 0  # of the directions of new items: the same catalogue gives the same bundle


def extend(model: UserModel, vocabulary: Vocabulary, log: EventLog) -> tuple[UserModel, Vocabulary]:
    """A model and a vocabulary that also have the items of `log`, after those that they had.

    A new item has the unknown item's id and a direction of its own, and its content, the latest in the log; the others
    stay as they are.

    Raises InputError where the model's items have no content: new ones could not be told apart.
    """
    if not model.config.content:
        raise InputError(
            "the model knows items by their ids alone, so it can have no others: train it on a log whose items have "
            "a category, brand or price"
        )
    known = set(vocabulary.items)
    new = sorted({log.item_ids[code] for code in np.unique(log.item).tolist()} - known)
    names = log.item_names or {}
    wider = msgspec.structs.replace(
        vocabulary,
        items=vocabulary.items + new,
        item_names=None
        if vocabulary.item_names is None
        else vocabulary.item_names + [names.get(item, item) for item in new],
    )
    extended = widened(model, msgspec.structs.replace(model.config, items=len(wider.items)))
    first = len(vocabulary.items) + 1
    for feature, values in item_features(log, wider).items():
        getattr(extended, f"item_{feature}")[first:] = torch.from_numpy(values[first:])
    with torch.no_grad():
        extended.items.weight[first:] += directions(len(new), model.config.width, torch.Generator().manual_seed(SEED))
    return extended.eval(), wider


def widened(model: UserModel, config: ModelConfig) -> UserModel:
    """The model with the weights of `model`, and more items, actions, categories or brands, as `config` says.

    What is new stands after what was there, with the weights of what is unknown.
    """
    wider = UserModel(config)
    weights = {}
    for name, target in wider.state_dict().items():
        value = model.state_dict()[name]
        more = len(target) - len(value)  # rows by index, the unknown's first
        weights[name] = torch.cat([value, value[:1].expand(more, *value.shape[1:])]) if more else value
    wider.load_state_dict(weights)
    return wider
