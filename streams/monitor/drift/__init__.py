"""Drift: figures of blocks of events, the detector of a figure's level, and the alarms of a bundle.

The package may import `streams.contracts` alone. The package does no I/O and reads no clock.
"""
