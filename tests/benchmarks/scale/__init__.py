"""What users and items cost, for sizing: `python -m tests.benchmarks.scale`."""
