"""Schemas from a schema registry: asked for once, kept for good, waited for while the registry cannot answer.

How values are decoded by a schema stands in `streams.engine.payload`, which does no input and output.
"""
