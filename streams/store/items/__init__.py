"""The item vectors of a bundle, and the worker's task that writes them."""
