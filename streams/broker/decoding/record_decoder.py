"""The decoder of the behaviour topic's records that the settings name."""

from encoder.data.mapping import load_mapping
from streams.broker.decoding.opening import open_schemas
from streams.broker.decoding.pseudonym_key import open_pseudonyms
from streams.broker.decoding.schemas import Schemas
from streams.config.settings import Settings
from streams.engine.codec import ContractDecoder, RecordDecoder
from streams.engine.payload.mapped_decoder import MappedDecoder, PayloadDecoder
from streams.engine.payload.pseudonym_decoder import PseudonymDecoder
from streams.engine.payload.reader import JsonReader, PayloadReader
from streams.engine.payload.registry_reader import RegistryReader


def open_decoder(settings: Settings, schemas: Schemas | None = None) -> RecordDecoder:
    """The decoder that every reader of the behaviour topic must use.

    schemas: those of the registry in the settings, where the caller has opened the registry. Raises MappingError,
    SettingsError for an unfit key of pseudonyms, and for a registry what `open_schemas` raises.
    """
    pseudonyms = open_pseudonyms(settings)
    decoder = _open_decoder(settings, schemas or open_schemas(settings))
    return decoder if pseudonyms is None else PseudonymDecoder(decoder, pseudonyms)


def _open_decoder(settings: Settings, schemas: Schemas | None) -> RecordDecoder:
    """The decoder that gives plain user ids."""
    if settings.mapping is None:
        return ContractDecoder() if schemas is None else PayloadDecoder(RegistryReader(schemas))
    mapping = load_mapping(settings.mapping)
    if schemas is None:
        return MappedDecoder(mapping, JsonReader(mapping.value_type), JsonReader())
    return MappedDecoder(mapping, RegistryReader(schemas))


def open_payload(settings: Settings) -> PayloadReader:
    """The reader of whole values, before a mapping or the contract reads them. Raises what `open_schemas` raises."""
    schemas = open_schemas(settings)
    return JsonReader() if schemas is None else RegistryReader(schemas)
