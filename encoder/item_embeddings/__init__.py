"""Item embeddings: vectors of items that another model has computed, for example from texts or pictures.

The package reads embeddings from files and prepares them for a model. It imports only `encoder.errors`, numpy, and
pyarrow for Parquet.
"""
