"""New items: extends the catalogue of a trained model by items whose vectors come from their content."""

from collections.abc import Sequence

import msgspec
import numpy as np
import torch

from encoder.data.event_log import EventLog
from encoder.data.feature_extraction import item_features
from encoder.data.vocabulary import Vocabulary
from encoder.errors import InputError
from encoder.item_embeddings.embeddings import ItemEmbeddings
from encoder.model.config import ModelConfig
from encoder.model.item_table import random_directions
from encoder.model.user_model import UserModel

SEED = 0  # of the random directions of new items, so that the same catalogue gives the same bundle


def extend_catalogue(
    model: UserModel, vocabulary: Vocabulary, log: EventLog, embeddings: Sequence[ItemEmbeddings] = ()
) -> tuple[UserModel, Vocabulary]:
    """A model and a vocabulary that also have the items of `log`. New items follow the known items.

    The id of a new item is the id of the unknown item plus a random direction. The content of a new item is the latest
    in the log. embeddings: those of the new items. Known items do not change. Raises InputError when the model has no
    content, because the model could not distinguish its new items, and when embeddings do not fit the model.
    """
    if not model.config.has_content:
        raise InputError(
            "the model knows items by their ids alone, so its catalogue cannot be extended: train it on a log whose "
            "items have a category, brand or price, or with --item-embeddings"
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
    extended = widen(model, msgspec.structs.replace(model.config, items=len(wider.items)))
    first = len(vocabulary.items) + 1
    if extended.content is not None:
        for feature, values in item_features(log, wider).items():
            getattr(extended, f"item_{feature}")[first:] = torch.from_numpy(values[first:])
    extended.set_item_embeddings(embeddings, new, first)
    with torch.no_grad():
        extended.items.weight[first:] += random_directions(
            len(new), model.config.width, torch.Generator().manual_seed(SEED)
        )
    return extended.eval(), wider


def widen(model: UserModel, config: ModelConfig) -> UserModel:
    """A model of the shape `config`, with the weights of `model`.

    `config` may have more items, actions, categories or brands. New rows of a table follow the known rows and have the
    weights of row 0, which is the unknown one.
    """
    wider = UserModel(config)
    weights = {}
    for name, target in wider.state_dict().items():
        value = model.state_dict()[name]
        more = len(target) - len(value) if target.ndim else 0
        weights[name] = torch.cat([value, value[:1].expand(more, *value.shape[1:])]) if more else value
    wider.load_state_dict(weights)
    return wider
