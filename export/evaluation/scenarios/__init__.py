"""Recommendation scenarios: which events they are judged by, and the ranks of a hybrid score and of each part alone."""
