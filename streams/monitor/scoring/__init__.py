"""The counting behind the online metrics: baselines, deduplication, windows and one scoreboard for each bundle.

The package may import `encoder.metrics`, `streams.contracts`, `streams.monitor.drift` and `streams.monitor.pairs`. The
package does no I/O and reads no clock: records and times are arguments, and counts are results.
"""
