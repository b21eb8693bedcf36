"""Scores of items: the active bundle, its rows, and batches of requests that share a pass."""
