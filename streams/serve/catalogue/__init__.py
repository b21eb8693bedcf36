"""The catalogue of items: what the topic says of each item, and which items pass filters."""

from streams.serve.catalogue.catalogue import Catalogue

__all__ = ["Catalogue"]
