"""Gaussian noise on vectors, and what it guarantees. Pure. docs/private-vectors.md tells what uses this room."""
