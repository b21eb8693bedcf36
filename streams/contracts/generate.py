"""Writes the documents in `schemas/` from the types: `python -m streams.contracts.generate`.

The documents are one JSON Schema (2020-12) for each topic, named after the topic, and one AsyncAPI 3 document. The
AsyncAPI document describes all topics from Thalweg's side. Topic names are the defaults of the settings.
"""

import argparse
import inspect
import json
from pathlib import Path
from typing import Any, get_args

import msgspec

from streams.config.settings import Compression, Settings
from streams.contracts.alarm_events import AlarmEvent
from streams.contracts.behavior_events import IncomingEvent
from streams.contracts.catalogue_items import CatalogueItem
from streams.contracts.comparisons import BundleComparison
from streams.contracts.dead_letters import EPOCH_HEADER, ERASED_HEADER, OFFSET_HEADER, RESENT_HEADER, DeadLetterHeaders
from streams.contracts.evaluation_events import EvaluationEvent
from streams.contracts.fields import MAX_VALUE_BYTES
from streams.contracts.metrics_events import MetricsEvent
from streams.contracts.predictions import Prediction
from streams.contracts.representation_updates import RepresentationUpdate

FOLDER = Path(__file__).parent / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
VERSION = "1"  # version of the contracts; the names of the topics hold the same number
USER_KEY = {"type": "string", "description": "the user_id"}
ITEM_KEY = {"type": "string", "description": "the item_id"}
COMPRESSED = (
    f"Record batches are compressed with {Settings().compression}. The setting `compression` names another codec: "
    f"{', '.join(get_args(Compression))}."
)
FORMATS = (
    "With another setting `updates_format` than json, a value is in the wire format of a schema registry: "
    "representations.updates.v1.avsc, representations.updates.v1.proto, or this JSON behind the id of its schema."
)
UPDATE_KEY = {
    "type": "string",
    "description": "bundle_id/user_id; the user_id alone in older updates, and in a null value that erases these",
}
BUNDLE_KEY = {"type": "string", "description": "bundle_id"}
PAIR_KEY = {"type": "string", "description": "champion|challenger, each a bundle_id"}
PLAIN = "Record batches are not compressed."
ANY_CODEC = "Record batches may be compressed with gzip, lz4, snappy or zstd, or not at all."
NULL_VALUE = {"type": "null", "description": "a record without a value"}

Document = dict[str, Any]


def documents() -> dict[str, Document]:
    """Every document by the name of its file."""
    settings = Settings()
    return {
        f"{settings.behavior_topic}.json": _json_schema(IncomingEvent, "BehaviorEvent"),
        f"{settings.updates_topic}.json": _json_schema(RepresentationUpdate),
        f"{settings.evaluation_topic}.json": _json_schema(EvaluationEvent),
        f"{settings.metrics_topic}.json": _json_schema(MetricsEvent),
        f"{settings.alarms_topic}.json": _json_schema(AlarmEvent),
        f"{settings.comparisons_topic}.json": _json_schema(BundleComparison),
        f"{settings.predictions_topic}.json": _json_schema(Prediction),
        f"{settings.catalogue_topic}.json": _json_schema(CatalogueItem),
        f"{settings.dead_letter_topic}.headers.json": _json_schema(DeadLetterHeaders),
        "asyncapi.json": _asyncapi(settings),
    }


def file_text(document: Document) -> str:
    """The text of the file that holds the document."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    argparse.ArgumentParser(prog="python -m streams.contracts.generate", description=__doc__).parse_args()
    for name, document in documents().items():
        (FOLDER / name).write_text(file_text(document))


def _json_schema(contract: type[msgspec.Struct], title: str | None = None) -> Document:
    """The JSON Schema of a contract. Types inside the contract stand under $defs."""
    _, components = msgspec.json.schema_components([contract])
    generated: Document = components.pop(contract.__name__)
    if components:
        generated["$defs"] = components
    return {
        "$schema": DIALECT,
        **generated,
        "title": title or contract.__name__,
        "description": inspect.getdoc(contract),
    }


def _channels(settings: Settings) -> dict[str, Document]:
    return {
        "behavior": _channel(
            settings.behavior_topic,
            {"BehaviorEvent": _message(_reference(settings.behavior_topic)), "Erasure": _message(NULL_VALUE)},
            ANY_CODEC,
        ),
        "updates": _updates_channel(settings.updates_topic),
        "evaluation": _channel(
            settings.evaluation_topic, {"EvaluationEvent": _message(_reference(settings.evaluation_topic))}, COMPRESSED
        ),
        "metrics": _channel(
            settings.metrics_topic, {"MetricsEvent": _message(_reference(settings.metrics_topic), BUNDLE_KEY)}, PLAIN
        ),
        "alarms": _channel(
            settings.alarms_topic, {"AlarmEvent": _message(_reference(settings.alarms_topic), BUNDLE_KEY)}, PLAIN
        ),
        "comparisons": _channel(
            settings.comparisons_topic,
            {"BundleComparison": _message(_reference(settings.comparisons_topic), PAIR_KEY)},
            PLAIN,
        ),
        "predictions": _channel(
            settings.predictions_topic, {"Prediction": _message(_reference(settings.predictions_topic))}, ANY_CODEC
        ),
        "catalogue": _channel(
            settings.catalogue_topic,
            {
                "CatalogueItem": _message(_reference(settings.catalogue_topic), ITEM_KEY),
                "Removed": _message(NULL_VALUE, ITEM_KEY),
            },
            "Record batches may be compressed with gzip, lz4, snappy or zstd, or not at all.",
        ),
        "deadLetters": _channel(
            settings.dead_letter_topic,
            {
                "DeadLetter": _dead_letter(settings.dead_letter_topic),
                "Resent": _resent_marker(),
                "Erased": _erasure_marker(),
            },
            COMPRESSED,
        ),
    }


def _asyncapi(settings: Settings) -> Document:
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Thalweg",
            "version": VERSION,
            "description": "Live user representations from behaviour events. Topic names are settings; these are the "
            "defaults. Outputs of a behaviour record are in the partition of the same number.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": _channels(settings),
        "operations": {
            "follow": _operation("receive", "behavior", "apply each event once, in its user's order"),
            "learnItems": _operation("receive", "catalogue", "show names of items, and filter recommendations"),
            "publish": _operation("send", "updates", "a user's representation, after each micro-batch that changed it"),
            "evaluate": _operation("send", "evaluation", "how well the representation before an event foresaw it"),
            "measure": _operation("send", "metrics", "windowed metrics of the model beside baselines"),
            "alarm": _operation("send", "alarms", "a monitored figure has left its reference, or is back"),
            "compare": _operation("receive", "predictions", "score other systems beside the model"),
            "compareBundles": _operation("send", "comparisons", "two bundles on the same events, valid at every look"),
            "setAside": _operation("send", "deadLetters", "what could not be applied, with its reason"),
        },
    }


def _updates_channel(topic: str) -> Document:
    update = _message(_reference(topic), UPDATE_KEY)
    messages = {"RepresentationUpdate": update, "Erased": _message(NULL_VALUE, UPDATE_KEY)}
    return _channel(topic, messages, f"{COMPRESSED} {FORMATS}")


def _channel(address: str, messages: dict[str, Document], compression: str) -> Document:
    return {"address": address, "description": compression, "messages": messages}


def _message(payload: Document, key: Document = USER_KEY) -> Document:
    return {"payload": payload, "bindings": {"kafka": {"key": key}}}


def _dead_letter(topic: str) -> Document:
    return {
        "summary": "The original key and value; headers say why it was set aside and where it stood.",
        "contentType": "application/octet-stream",
        "headers": _reference(f"{topic}.headers"),
        "payload": {"description": f"any bytes, the first {MAX_VALUE_BYTES} of them where there were more"},
    }


def _resent_marker() -> Document:
    offsets = {"type": "string", "description": "offsets in this partition, separated by commas"}
    summary = "notes which dead letters were sent to the behaviour topic again"
    return _marker(summary, {RESENT_HEADER: offsets}, required=[RESENT_HEADER])


def _erasure_marker() -> Document:
    user = {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "SHA-256 of the user_id, UTF-8"}
    epoch = {"type": "string", "description": "of the erasure, as in the ids of outputs; absent in older markers"}
    offset = {"type": "string", "description": "of the erasure in the behaviour topic, in this partition"}
    summary = "notes that a user was erased: dead letters of this user from before it are not shown or sent any more"
    headers = {ERASED_HEADER: user, EPOCH_HEADER: epoch, OFFSET_HEADER: offset}
    return _marker(summary, headers, required=[ERASED_HEADER, OFFSET_HEADER])


def _marker(summary: str, headers: dict[str, Document], required: list[str]) -> Document:
    return {
        "summary": f"No dead letter: {summary}.",
        "headers": {"type": "object", "properties": headers, "required": required},
        "payload": {"type": "string", "maxLength": 0},
    }


def _operation(action: str, channel: str, summary: str) -> Document:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "summary": summary}


def _reference(name: str) -> Document:
    return {"$ref": f"./{name}.json"}


if __name__ == "__main__":
    main()
