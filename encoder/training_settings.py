"""How a model is trained, apart from the training: `thalweg train` shows the defaults without loading torch."""

import msgspec

from encoder.features import ITEM_FEATURES

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
    # One of BATCHING_NAMES. Lanes ("parallel") gave the same validation MRR@20 for more time, as their rows are of
    # unequal length. yoochoose, 3 epochs, one seed: .2873, padded .2870, at 7.98 and 4.78 CPU s an epoch; with a window
    # of 16 .2884, .2860, 6.74, 4.60. REES46, 7 epochs, mean of three seeds: .2144, padded .2138, 1.57 and 0.75 CPU s.
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
