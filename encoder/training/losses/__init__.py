"""The losses of a training step: of the next item, and of a whole window of events."""
