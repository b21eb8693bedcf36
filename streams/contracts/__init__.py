"""The records of every topic, as types: one module for each topic.

This package may import `encoder.data.events` and `streams.config`. `python -m streams.contracts.generate` writes the
JSON Schemas and the AsyncAPI document in `schemas/` from the types. The package neither decodes nor sends records:
`streams.engine` decodes, and `streams.broker` sends.
"""
