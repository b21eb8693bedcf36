"""What a live state is worth: the model with representations that are an hour and a day old, on the same events.

The package may import `export.runtime` and `streams.contracts`. The package does no I/O and reads no clock.
"""
