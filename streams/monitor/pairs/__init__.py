"""Two bundles on the same events: matched by their ids, joined to blocks of users, and compared at every look.

The package may import `encoder.metrics` and `streams.contracts`. The package does no I/O and reads no clock.
"""
