"""The settings of a training. `thalweg train` shows the defaults, so this module does not load torch."""

import msgspec

from encoder.data.features import ITEM_FEATURES

LOSS_NAMES = ("auto", "softmax", "sampled", "bpr-max")  # keys of encoder.training.losses.next_item.LOSSES
BATCHING_NAMES = ("padded", "parallel")
CELL_NAMES = ("rnn", "lstm", "gru", "mingru", "hgrn2")  # keys of encoder.model.cells.CELLS
# Default of max_epochs when a trained model continues. More epochs did not help: see
# docs/decisions.md#rate-of-incremental-training.
CONTINUED_MAX_EPOCHS = 3


class TrainingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The shape of a model and how it is trained. The defaults suit logs of ten thousand to some million events."""

    cell: str = "gru"  # one of CELL_NAMES
    layers: int = 1
    width: int = 64
    hidden: int = 64
    dropout: float = 0.5
    traces: bool = True  # whether the model has `encoder.model.traces.Traces`
    counters: bool = True  # whether the model has `encoder.model.counters.Counters`
    recent_items: bool = True  # whether the model has `encoder.model.recent_items.RecentItems`
    counted_vectors: bool = True  # whether item vectors begin as those of `encoder.model.item_pairs.pair_vectors`
    neighbours: bool = True  # whether training uses `encoder.model.neighbours.Neighbours`
    loss: str = "auto"  # one of LOSS_NAMES; auto: the full softmax, or a sampled one for a large catalogue
    negatives: int = 1_024  # items that a step draws for a loss other than the full softmax
    week_hours: bool = False  # whether the hour of the week is an input
    content: tuple[str, ...] = ITEM_FEATURES  # item features that are part of an item's vector, if the log has them
    id_dropout: float = 0.1  # share of items that a training step treats as new items
    min_support: int = 1  # events that an item needs to be in the catalogue; events of rarer items train index 0
    validation: float = 0.1  # last share of the log, in time, that decides the number of epochs
    max_epochs: int = 12  # that are validated; the learning rate falls to 0 at the end of a training
    events_per_step: int = 512  # events in a step of the optimiser
    # One of BATCHING_NAMES. padded: users of similar length side by side. parallel: lanes of one user after another,
    # which give the same quality in 1.9 times the CPU time. See docs/decisions.md#padded-batches.
    batching: str = "padded"
    window: int = 64  # events through which a gradient flows back
    learning_rate: float = 0.015
    # Share of a weight that an epoch at the full learning rate takes away. A share for each epoch suits long and short
    # logs alike (Wang & Aitchison 2024).
    weight_decay: float = 0.8
    seed: int = 0


# The values that `thalweg train --tune` tries. Numbers are in ascending order.
SEARCH_SPACE: dict[str, tuple[str | int | float, ...]] = {
    "cell": ("gru", "hgrn2", "mingru", "lstm"),
    "width": (32, 48, 64, 96, 128),
    "dropout": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6),
    "weight_decay": (0.1, 0.3, 0.7, 1.5, 3.0),
    "learning_rate": (0.005, 0.0075, 0.01, 0.015, 0.02),
    "events_per_step": (256, 512, 1024),
}
