"""Hybrid scores: their parts beside the model's, the questions that judge them, and the choice of their weights."""
