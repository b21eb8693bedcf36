"""Training of user models, and everything that a training needs.

The room owns the training settings, the training loop with its losses and its optimiser, the offline evaluation of a
model over a log, the search for settings, snapshots of a stopped training, and checkpoints. It imports `encoder.model`,
`encoder.metrics`, `encoder.data` and `encoder.errors`. It prints nothing and does not parse arguments.
"""
