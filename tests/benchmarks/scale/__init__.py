"""Measures what users and items cost, so that a deployment can be sized: `python -m tests.benchmarks.scale`."""
