"""The decoder of the behaviour topic's records, the reader of updates, and the schemas of a schema registry.

The schema of updates is registered here too, because the client of the registry is the same. A schema is asked for once
and kept for good. How values are decoded by a schema stands in `streams.engine.payload`, which does no input and
output.
"""
