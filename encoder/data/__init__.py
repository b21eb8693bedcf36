"""Behaviour events and everything that is made of them before a model sees them.

The room owns the event contract, event logs and their loaders, the preparation of a log, vocabularies, sequences and
batches of events, and the simulated shop. It imports only `encoder.errors`, numpy and msgspec, and pyarrow for Parquet.
It does not need torch and knows nothing of models.
"""
