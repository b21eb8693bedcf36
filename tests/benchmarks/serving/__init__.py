"""Measures `thalweg serve` under load, beside a worker and beside a plain FastAPI handler."""
