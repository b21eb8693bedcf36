"""What training starts from: nothing but the log, or a model that was trained before."""

from dataclasses import dataclass
from typing import Protocol

import msgspec
import numpy as np
import torch

from encoder.data.event_log import EventLog
from encoder.data.feature_extraction import item_features, known_features, price_boundaries
from encoder.data.features import PRICE, TIME, Features
from encoder.data.sequences import Sequences
from encoder.data.vocabulary import Vocabulary
from encoder.errors import InputError
from encoder.metrics.baselines import Baselines
from encoder.model.neighbours import Neighbours, neighbour_matrix
from encoder.model.new_items import widened
from encoder.model.user_model import PRIOR_SCALE, ModelConfig, UserModel, directions
from encoder.training.settings import TrainingSettings

# Share of the full learning rate with which a trained model learns on. On validation parts (trained on the first 72% of
# the training part, learnt on from 18%, scored on the last 10%; MRR@20): yoochoose .3458, at a tenth .3402, at a half
# .3429; REES46 .1902, .1913, .1750. More epochs than FROM_EPOCHS did not help, and at a half learnt the newer events by
# heart (7 epochs: .3386, .1815). Without an update .3201 and .1699.
RATE = 0.25


class Start(Protocol):
    """Where the weights, the names and the counts come from."""

    rate: float  # share of the full learning rate

    def vocabulary(self, log: EventLog, settings: TrainingSettings) -> Vocabulary: ...

    def model(
        self, log: EventLog, vocabulary: Vocabulary, sequences: Sequences, settings: TrainingSettings
    ) -> UserModel:
        """Before the first step. sequences: of the log or of a part of it, which alone may tell of popularity."""
        ...

    def baselines(self, sequences: Sequences, items: int) -> Baselines:
        """Counts of all that was trained on, these sequences at last."""
        ...


class FromLog:
    """An untrained model."""

    rate = 1.0

    def vocabulary(self, log: EventLog, settings: TrainingSettings) -> Vocabulary:
        return Vocabulary.from_log(log, settings.min_support)

    def model(
        self, log: EventLog, vocabulary: Vocabulary, sequences: Sequences, settings: TrainingSettings
    ) -> UserModel:
        """A model that ranks by the popularity in the sequences, which are of the log or of a part of it."""
        known = known_features(log, vocabulary)
        if settings.week_hours and TIME not in known:
            raise InputError(
                "the log spans less than a week: train without the hours of the week, or give a longer log"
            )
        items = len(vocabulary.items)
        model = UserModel(
            ModelConfig(
                items=items,
                actions=len(vocabulary.actions),
                cell=settings.cell,
                layers=settings.layers,
                width=settings.width,
                hidden=settings.hidden,
                dropout=settings.dropout,
                traces=settings.traces,
                counters=settings.counters,
                heads=True,
                week_hours=settings.week_hours,
                content=tuple(name for name in known if name in settings.content),
                categories=len(vocabulary.categories),
                brands=len(vocabulary.brands),
                price_boundaries=price_boundaries(log),
                id_dropout=settings.id_dropout,
            )
        )
        if model.config.content:
            model.know_items(item_features(log, vocabulary))
        if model.counters is not None:
            model.counters.learn_what_is_usual(sequences)
        model.start_from_popularity(torch.from_numpy(Baselines.from_sequences(sequences, items).popularity[1:]))
        if settings.neighbours:
            model.lean_on(Neighbours(sequences, items, settings.width))
        return model

    def baselines(self, sequences: Sequences, items: int) -> Baselines:
        return Baselines.from_sequences(sequences, items)


@dataclass(frozen=True)
class FromModel:
    """A trained model that learns on from newer events.

    What it knows keeps its place and its weights; names that are new get places after the others. A new item begins as
    what came near it in the newer events, as far as they tell, and as the unknown item for the rest; its score without
    history is that of known items as frequent.
    """

    trained: UserModel
    names: Vocabulary
    counts: Baselines

    rate = RATE

    def vocabulary(self, log: EventLog, settings: TrainingSettings) -> Vocabulary:
        return self.names.extended(log, settings.min_support)

    def model(
        self, log: EventLog, vocabulary: Vocabulary, sequences: Sequences, settings: TrainingSettings
    ) -> UserModel:
        config = msgspec.structs.replace(
            self.trained.config,
            items=len(vocabulary.items),
            actions=len(vocabulary.actions),
            categories=len(vocabulary.categories),
            brands=len(vocabulary.brands),
            dropout=settings.dropout,
            id_dropout=settings.id_dropout,
        )
        model = widened(self.trained, config)
        if config.content:
            model.know_items(_latest(item_features(log, vocabulary), model))
        self._place_new_items(model, sequences)
        if settings.neighbours:
            model.lean_on(Neighbours(sequences, config.items, config.width))
        return model

    def baselines(self, sequences: Sequences, items: int) -> Baselines:
        return self.counts.widened(items) + Baselines.from_sequences(sequences, items)

    @torch.no_grad()
    def _place_new_items(self, model: UserModel, sequences: Sequences) -> None:
        first, items = len(self.names.items) + 1, model.config.items
        if first > items:
            return
        ids = model.items.weight
        known = ids.clone()
        known[first:] = 0
        matrix = neighbour_matrix(sequences, items)
        has_vector = (torch.arange(items + 1) < first).float()[:, None]
        told = torch.sparse.mm(matrix, has_vector)[first:]
        ids[first:] = torch.sparse.mm(matrix, known)[first:] + (1 - told) * ids[first:]
        ids[first:] += directions(items + 1 - first, model.config.width)
        # Untrained, the first component is log frequency over PRIOR_SCALE: what training has added to it, on average.
        newer = torch.from_numpy(Baselines.from_sequences(sequences, items).popularity).double()
        older = torch.from_numpy(self.counts.popularity).double()
        log_older = torch.log(older[1:] + 1)
        log_newer = torch.log(newer[first:] * (older.sum() / newer.sum().clamp(min=1)) + 1)
        added = (ids[1:first, 0] - log_older / PRIOR_SCALE).mean()
        ids[first:, 0] = (log_newer / PRIOR_SCALE + added).float()


def _latest(newer: Features, model: UserModel) -> Features:
    """What items are: what newer events say, otherwise what the model knew."""
    latest: Features = {}
    for name, values in newer.items():
        older = getattr(model, f"item_{name}").numpy()
        latest[name] = np.where(np.isnan(values) if name == PRICE else values == 0, older, values)
    return latest
