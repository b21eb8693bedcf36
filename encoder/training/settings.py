"""How a model is trained, apart from the training: `thalweg train` shows the defaults without loading torch."""

import msgspec

from encoder.data.features import ITEM_FEATURES

LOSS_NAMES = ("auto", "softmax", "sampled", "bpr-max")  # those of encoder.losses.LOSSES
BATCHING_NAMES = ("padded", "parallel")
CELL_NAMES = ("rnn", "lstm", "gru", "mingru", "hgrn2")  # those of encoder.cells.CELLS
FROM_EPOCHS = 3  # max_epochs of a trained model that learns on, see encoder.start.RATE


class TrainingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a model is shaped and trained. The defaults are meant for a log of ten thousand to some million events."""

    cell: str = "gru"  # one of CELL_NAMES
    layers: int = 1
    width: int = 64
    hidden: int = 64
    dropout: float = 0.3
    traces: bool = True  # whether sums of the inputs, forgotten at fixed rates, stand beside the cell
    counters: bool = True  # whether representations end in how often the user came
    neighbours: bool = True  # whether items lean on what came near them in users' histories, while training
    loss: str = "auto"  # one of LOSS_NAMES; auto: the full softmax, sampled for a large catalogue
    negatives: int = 1_024  # items drawn for a step of the losses other than the full softmax
    week_hours: bool = False  # whether the hour of the week is an input
    content: tuple[str, ...] = ITEM_FEATURES  # of items that their vectors are made of, where the log has them
    id_dropout: float = 0.1  # share of items, drawn for every step, that are trained as if they were new
    min_support: int = 2  # events of an item to be in the catalogue; rarer ones train the unknown item
    validation: float = 0.1  # last share of the log, in time, that decides when to stop
    max_epochs: int = 7  # the learning rate falls along a cosine to 0 at their end
    patience: int = 2  # epochs without a better validation score before stopping
    events_per_step: int = 512  # events whose losses make one optimiser step
    # One of BATCHING_NAMES. Lanes ("parallel") give the same for more time, as their rows are of unequal length:
    # validation MRR@20 .3602 in 38.5 CPU s, padded .3587 in 19.8, one seed (`python -m tests.benchmarks.quality --data
    # DIR --dataset yoochoose --validation --set max_epochs=3 --set batching=parallel`, and without the last --set).
    batching: str = "padded"  # users of similar length together, or lanes of one user after another
    window: int = 64  # events through which a gradient flows back
    learning_rate: float = 0.015
    # Share of a weight that an epoch at the full learning rate takes away: the same for long logs and short ones, as
    # memories of a fixed number of epochs ask for (Wang & Aitchison 2024).
    weight_decay: float = 0.25
    seed: int = 0


# What `thalweg train --tune` tries, by name; values in their order, where they have one.
SPACE: dict[str, tuple[str | int | float, ...]] = {
    "cell": ("gru", "hgrn2", "mingru", "lstm"),
    "width": (32, 48, 64, 96, 128),
    "dropout": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6),
    "weight_decay": (0.1, 0.3, 0.7, 1.5, 3.0),
    "learning_rate": (0.005, 0.0075, 0.01, 0.015, 0.02),
    "events_per_step": (256, 512, 1024),
}
