"""The decoder of the behaviour topic's records, and the schemas of a schema registry that the decoder needs.

A schema is asked for once and kept for good. How values are decoded by a schema stands in `streams.engine.payload`,
which does no input and output.
"""
