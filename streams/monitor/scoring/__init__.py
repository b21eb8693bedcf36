"""The counting behind the online metrics: baselines, deduplication, windows and one scoreboard for each bundle.

The package may import `encoder.metrics` and `streams.contracts` alone. The package does no I/O and reads no clock:
records and times are arguments, and counts are results.
"""
