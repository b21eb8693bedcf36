"""Counts of which items follow which, and rankings by these counts."""
