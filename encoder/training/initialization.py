"""The initialization of a training: from the log alone, or from a model that was trained before."""

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
from encoder.item_embeddings.embeddings import ItemEmbeddings, Preparation
from encoder.metrics.baselines import Baselines
from encoder.metrics.followers.companions import Companions
from encoder.model.config import EmbeddingShape, ModelConfig
from encoder.model.item_pairs import pair_vectors
from encoder.model.item_table import random_directions
from encoder.model.neighbours import Neighbours, neighbour_matrix
from encoder.model.new_items import widen
from encoder.model.user_model import PRIOR_SCALE, UserModel
from encoder.training.settings import TrainingSettings

# Share of the full learning rate with which a trained model continues. Validation MRR@20 of yoochoose is .3458 at a
# quarter. See docs/decisions.md#rate-of-incremental-training.
CONTINUED_RATE = 0.25


class Initialization(Protocol):
    """The source of a training's first weights, of its vocabulary and of its counts."""

    rate: float  # share of the full learning rate

    @property
    def scale(self) -> float:
        """The scale of dot products, for a training without validation events, which finds no scale of its own."""
        ...

    def vocabulary(self, log: EventLog, settings: TrainingSettings) -> Vocabulary:
        """The vocabulary of the model that the training will give."""
        ...

    def model(
        self, log: EventLog, vocabulary: Vocabulary, sequences: Sequences, settings: TrainingSettings
    ) -> UserModel:
        """The model before the first step.

        sequences: the training events, of the log or of a part of the log. Popularity may come only from these events.
        """
        ...

    def baselines(self, sequences: Sequences, items: int) -> Baselines:
        """The counts of all events that the model was trained on, including `sequences`."""
        ...

    def companions(self, sequences: Sequences, items: int) -> Companions:
        """The items of equal visits, counted in all events that the model was trained on, including `sequences`."""
        ...


@dataclass(frozen=True)
class FromScratch:
    """Starts from an untrained model."""

    embeddings: tuple[ItemEmbeddings, ...] = ()  # of the log's items, from sources with distinct names

    rate = scale = 1.0

    def vocabulary(self, log: EventLog, settings: TrainingSettings) -> Vocabulary:
        return Vocabulary.from_log(log, settings.min_support)

    def model(
        self, log: EventLog, vocabulary: Vocabulary, sequences: Sequences, settings: TrainingSettings
    ) -> UserModel:
        """An untrained model, which ranks by popularity in the sequences. Raises InputError as `train` does."""
        known = known_features(log, vocabulary)
        if settings.week_hours and TIME not in known:
            raise InputError("the log spans less than a week: train without --week-hours, or give a longer log")
        items = len(vocabulary.items)
        preparations = {source.name: Preparation.fit(source, vocabulary.items) for source in self.embeddings}
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
                recent_items=settings.recent_items,
                heads=True,
                week_hours=settings.week_hours,
                content=tuple(name for name in known if name in settings.content),
                categories=len(vocabulary.categories),
                brands=len(vocabulary.brands),
                price_boundaries=price_boundaries(log),
                item_embeddings={
                    name: EmbeddingShape(*preparation.components.shape) for name, preparation in preparations.items()
                },
                id_dropout=settings.id_dropout,
            )
        )
        if model.config.content:
            model.set_item_features(item_features(log, vocabulary))
        if model.embeddings is not None:
            for name, preparation in preparations.items():
                model.embeddings.set_preparation(name, preparation)
        model.set_item_embeddings(self.embeddings, vocabulary.items)
        if model.counters is not None:
            model.counters.fit_means(sequences)
        model.initialize_popularity(torch.from_numpy(Baselines.from_sequences(sequences, items).popularity[1:]))
        if settings.counted_vectors:
            model.initialize_vectors(*pair_vectors(sequences, items, settings.width - 1))
        if settings.neighbours:
            model.attach_neighbours(Neighbours(sequences, items, settings.width))
        return model

    def baselines(self, sequences: Sequences, items: int) -> Baselines:
        return Baselines.from_sequences(sequences, items)

    def companions(self, sequences: Sequences, items: int) -> Companions:
        return Companions.count(sequences, items)


@dataclass(frozen=True)
class FromTrainedModel:
    """Continues the training of a model with newer events.

    Known items, actions, categories and brands keep their indices and weights, and new ones follow. The initial id
    vector of a new item is the mean of its neighbours in the newer events. The fewer neighbours there are, the more the
    vector of the unknown item counts in the mean. The prior score of a new item is that of known items with the same
    frequency.
    """

    trained: UserModel
    known: Vocabulary
    counts: Baselines  # of the events that the model was trained on
    embeddings: tuple[ItemEmbeddings, ...] = ()  # of new items, and of known items that have new ones
    earlier: Companions | None = None  # counted in the events that the model was trained on; None: not known

    rate = CONTINUED_RATE

    @property
    def scale(self) -> float:
        return 1.0 if self.trained.recent is None else float(self.trained.recent.scale)

    def vocabulary(self, log: EventLog, settings: TrainingSettings) -> Vocabulary:
        return self.known.extended(log, settings.min_support)

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
        model = widen(self.trained, config)
        if model.recent is not None:  # the training begins with the scores as they were trained
            model.scale_all_scores(1 / self.scale)
        if config.content:
            model.set_item_features(_latest_features(item_features(log, vocabulary), model))
        model.set_item_embeddings(self.embeddings, vocabulary.items)
        self._place_new_items(model, sequences)
        if settings.neighbours:
            model.attach_neighbours(Neighbours(sequences, config.items, config.width))
        return model

    def baselines(self, sequences: Sequences, items: int) -> Baselines:
        return self.counts.widened(items) + Baselines.from_sequences(sequences, items)

    def companions(self, sequences: Sequences, items: int) -> Companions:
        newer = Companions.count(sequences, items)
        return newer if self.earlier is None else self.earlier.widened(items) + newer

    @torch.no_grad()
    def _place_new_items(self, model: UserModel, sequences: Sequences) -> None:
        first, items = len(self.known.items) + 1, model.config.items
        if first > items:
            return
        ids = model.items.weight
        known = ids.clone()
        known[first:] = 0
        matrix = neighbour_matrix(sequences, items)
        is_known = (torch.arange(items + 1) < first).float()[:, None]
        known_weight = torch.sparse.mm(matrix, is_known)[first:]
        ids[first:] = torch.sparse.mm(matrix, known)[first:] + (1 - known_weight) * ids[first:]
        ids[first:] += random_directions(items + 1 - first, model.config.width)
        # The first component of an untrained item is its log frequency, divided by PRIOR_SCALE. `added` is the mean of
        # what training has added to this component.
        newer = torch.from_numpy(Baselines.from_sequences(sequences, items).popularity).double()
        older = torch.from_numpy(self.counts.popularity).double()
        log_older = torch.log(older[1:] + 1)
        log_newer = torch.log(newer[first:] * (older.sum() / newer.sum().clamp(min=1)) + 1)
        added = (ids[1:first, 0] - log_older / PRIOR_SCALE).mean()
        ids[first:, 0] = (log_newer / PRIOR_SCALE + added).float()


def _latest_features(newer: Features, model: UserModel) -> Features:
    """The features of all items: the values in newer events, or else the values that the model knows."""
    latest: Features = {}
    for name, values in newer.items():
        older = getattr(model, f"item_{name}").numpy()
        latest[name] = np.where(np.isnan(values) if name == PRICE else values == 0, older, values)
    return latest
