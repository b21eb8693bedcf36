"""Writes this folder's documents from the types: `python -m streams.contracts.generate`.

One JSON Schema (2020-12) a topic, named after the topic, and one AsyncAPI 3 document that describes all of them from
Thalweg's side. Topic names are the defaults of the settings.
"""

import inspect
import json
from pathlib import Path
from typing import Any

import msgspec

from streams.config.settings import Settings
from streams.contracts.messages import (
    ERASED,
    MAX_VALUE_BYTES,
    RESENT,
    SOURCE_OFFSET,
    DeadLetterHeaders,
    EvaluationEvent,
    IncomingEvent,
    MetricsEvent,
    RepresentationUpdate,
)

FOLDER = Path(__file__).parent / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
VERSION = "1"  # of the contracts, as in the topics' names
USER_KEY = {"type": "string", "description": "the user_id"}
NOTHING = {"type": "null", "description": "a record without a value"}

Document = dict[str, Any]


def documents() -> dict[str, Document]:
    """Every document by its file's name."""
    names = Settings()
    return {
        f"{names.behavior_topic}.json": _schema(IncomingEvent, "BehaviorEvent"),
        f"{names.updates_topic}.json": _schema(RepresentationUpdate),
        f"{names.evaluation_topic}.json": _schema(EvaluationEvent),
        f"{names.metrics_topic}.json": _schema(MetricsEvent),
        f"{names.dead_letter_topic}.headers.json": _schema(DeadLetterHeaders),
        "asyncapi.json": _asyncapi(names),
    }


def text_of(document: Document) -> str:
    """The document as it stands in its file."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    for name, document in documents().items():
        (FOLDER / name).write_text(text_of(document))


def _schema(contract: type[msgspec.Struct], title: str | None = None) -> Document:
    """The contract's own JSON Schema, without references: none of the contracts holds another."""
    _, components = msgspec.json.schema_components([contract])
    generated: Document = components[contract.__name__]
    return {
        "$schema": DIALECT,
        **generated,
        "title": title or contract.__name__,
        "description": inspect.getdoc(contract),
    }


def _asyncapi(names: Settings) -> Document:
    channels = {
        "behavior": _channel(
            names.behavior_topic,
            {"BehaviorEvent": _message(_reference(names.behavior_topic)), "Erasure": _message(NOTHING)},
        ),
        "updates": _channel(
            names.updates_topic,
            {"RepresentationUpdate": _message(_reference(names.updates_topic)), "Erased": _message(NOTHING)},
        ),
        "evaluation": _channel(
            names.evaluation_topic, {"EvaluationEvent": _message(_reference(names.evaluation_topic))}
        ),
        "metrics": _channel(
            names.metrics_topic,
            {"MetricsEvent": _message(_reference(names.metrics_topic), {"type": "string", "description": "bundle_id"})},
        ),
        "deadLetters": _channel(
            names.dead_letter_topic,
            {
                "DeadLetter": _dead_letter(names.dead_letter_topic),
                "Resent": _resent_marker(),
                "Erased": _erasure_marker(),
            },
        ),
    }
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
        "channels": channels,
        "operations": {
            "follow": _operation("receive", "behavior", "apply each event once, in its user's order"),
            "publish": _operation("send", "updates", "a user's representation, after each micro-batch that changed it"),
            "evaluate": _operation("send", "evaluation", "how well the representation before an event foresaw it"),
            "measure": _operation("send", "metrics", "windowed metrics of the model beside baselines"),
            "setAside": _operation("send", "deadLetters", "what could not be applied, with its reason"),
        },
    }


def _channel(address: str, messages: dict[str, Document]) -> Document:
    return {"address": address, "messages": messages}


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
    return _marker("notes which dead letters were sent to the behaviour topic again", {RESENT: offsets})


def _erasure_marker() -> Document:
    user = {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "SHA-256 of the user_id, UTF-8"}
    offset = {"type": "string", "description": "of the erasure in the behaviour topic, in this partition"}
    summary = "notes that a user was erased: dead letters of this user from before it are not shown or sent any more"
    return _marker(summary, {ERASED: user, SOURCE_OFFSET: offset})


def _marker(summary: str, headers: dict[str, Document]) -> Document:
    return {
        "summary": f"No dead letter: {summary}.",
        "headers": {"type": "object", "properties": headers, "required": list(headers)},
        "payload": {"type": "string", "maxLength": 0},
    }


def _operation(action: str, channel: str, summary: str) -> Document:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "summary": summary}


def _reference(name: str) -> Document:
    return {"$ref": f"./{name}.json"}


if __name__ == "__main__":
    main()
