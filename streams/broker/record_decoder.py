"""The decoder of the behaviour topic's records that the settings name."""

from encoder.data.mapping import load_mapping
from streams.config.settings import Settings
from streams.engine.codec import ContractDecoder, RecordDecoder
from streams.engine.payload.mapped_decoder import MappedDecoder
from streams.engine.payload.reader import JsonReader


def open_decoder(settings: Settings) -> RecordDecoder:
    """The decoder that every reader of the behaviour topic must use. Raises MappingError."""
    if settings.mapping is None:
        return ContractDecoder()
    mapping = load_mapping(settings.mapping)
    return MappedDecoder(mapping, JsonReader(mapping.value_type), JsonReader())
