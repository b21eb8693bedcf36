"""The bodies of requests and answers, as the OpenAPI document shows them."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, model_validator

from encoder.data.contract.incoming_event import MAX_TEXT, MAX_TIME_MS
from encoder.data.contract.quoting import quote
from encoder.data.contract.rejection import is_unicode

MOST_USERS, MOST_CANDIDATES, MOST_EVENTS, MOST_ITEMS = 1_000, 5_000, 1_000, 1_000
MOST_FIELDS = 20  # of an object in a body, of which the document names fewer
MOST_EXCLUDED = 100  # ids in an address, which has 64 KiB at most

Id = Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
Category = Annotated[str, Field(max_length=MAX_TEXT)]
EventPrice = Annotated[float, Field(ge=0, allow_inf_nan=False)]


# A list stops at its first wrong entry. A body of 1 MiB would otherwise have 100,000 errors, which take seconds.
FIRST_ERROR = FailFast()


def checked_attributes(value: object) -> object:
    """Refuse attributes at the first wrong one. A union of types has three errors for each, and takes any text."""
    for name, one in value.items() if isinstance(value, dict) else ():
        if not 0 < len(name) <= MAX_TEXT or not is_unicode(name):
            raise ValueError(f"the name {quote(name)} is not a text of 1 to {MAX_TEXT} characters")
        if isinstance(one, bool) or not isinstance(one, str | int | float):
            raise ValueError(f"{quote(name)} is neither a text nor a number")
        if isinstance(one, str) and not is_unicode(one):
            raise ValueError(f"{quote(name)} is a text with half of a surrogate pair")
    return value


def whole_number(value: object) -> object:
    """JSON has one kind of number, so 3.0 is a whole number. Other values stay, and the validation judges them."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Count = Annotated[int, Field(ge=1, le=MOST_ITEMS, description="number of items"), BeforeValidator(whole_number)]


class Request(BaseModel):
    """A body of a request. A field that the document does not name is an error."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _has_few_fields(cls, value: Any) -> Any:
        """Refuse a crowd of unknown fields at once, since each of them would have an error of its own."""
        if isinstance(value, dict) and len(value) > MOST_FIELDS:
            raise ValueError(f"{len(value)} fields, and the document names {len(cls.model_fields)}")
        return value


class Users(Request):
    """The users that are asked for."""

    user_ids: Annotated[list[Id], FIRST_ERROR, Field(description="the users", min_length=1, max_length=MOST_USERS)]


class Candidates(Request):
    """The items to put in order for a user."""

    user_id: Annotated[Id, Field(description="the user")]
    item_ids: Annotated[
        list[Id], FIRST_ERROR, Field(description="the candidates", min_length=1, max_length=MOST_CANDIDATES)
    ]


class Event(Request):
    """An event of the behaviour topic without the ids, which `POST /v1/step` does not need."""

    item_id: Annotated[Id, Field(description="the item")]
    action: Annotated[Id, Field(description="one of the bundle's actions; another counts as an unknown action")]
    event_time_ms: Annotated[
        int,
        Field(ge=0, le=MAX_TIME_MS, description="at most 24 hours after the server's clock"),
        BeforeValidator(whole_number),
    ]
    category: Annotated[Category | None, Field(description="category of the item")] = None
    price: Annotated[EventPrice | None, Field(description="price of the item")] = None
    attributes: Annotated[
        dict[Id, str | int | float] | None,
        BeforeValidator(checked_attributes),
        Field(description="further fields of the event"),
    ] = None


class Events(Request):
    """The events of a session, in their order."""

    events: Annotated[
        list[Event], FIRST_ERROR, Field(description="the events in their order", min_length=1, max_length=MOST_EVENTS)
    ]
    k: Count = 20


class Representation(BaseModel):
    """What is known of a user."""

    user_id: Annotated[str, Field(description="the user")]
    bundle_id: Annotated[str, Field(description="the bundle that the answer is from")]
    representation: Annotated[list[float], Field(description="rank items by their dot product with the item vectors")]
    steps: Annotated[int, Field(description="events applied so far")]
    last_time_ms: Annotated[int, Field(description="latest event time seen")]
    last_item: Annotated[str | None, Field(description="the item of the last event")]
    recent_items: Annotated[list[str], Field(description="the last distinct items, newest first; at most ten")]
    bought_items: Annotated[list[str], Field(description="the last distinct items that were bought, newest first")]
    written_at_ms: Annotated[int, Field(description="when the row was written, in milliseconds since 1970")]
    age_ms: Annotated[int, Field(description="time since the row was written")]


class Representations(BaseModel):
    """What is known of several users."""

    bundle_id: Annotated[str, Field(description="the bundle that the answer is from")]
    representations: Annotated[list[Representation], Field(description="in the order of the request")]
    unknown: Annotated[list[str], Field(description="users without a row")]


class ScoredItem(BaseModel):
    """An item with its score, which is the sum of the parts."""

    item_id: Annotated[str, Field(description="the item")]
    name: Annotated[str | None, Field(description="only where the catalogue of items has a name")] = None
    score: Annotated[float, Field(description="the sum of the parts")]
    dot: Annotated[float, Field(description="dot product of the item's vector and the representation")]
    repeat: Annotated[float, Field(description="what one of the user's recent items has besides")]
    co: Annotated[float, Field(description="how often the item stands in visits with recent items, or with the basket")]
    content: Annotated[float, Field(description="category and brand in common with recent items, or with the basket")]


class Recommendations(BaseModel):
    """The best items for a user."""

    user_id: Annotated[str, Field(description="the user")]
    bundle_id: Annotated[str, Field(description="the bundle that the answer is from")]
    known: Annotated[bool, Field(description="false: the user has no row, and the items are those of a new user")]
    steps: Annotated[int, Field(description="events applied so far")]
    items: Annotated[list[ScoredItem], Field(description="the highest score first")]


class Ranking(BaseModel):
    """The candidates in the order of their scores."""

    user_id: Annotated[str, Field(description="the user")]
    bundle_id: Annotated[str, Field(description="the bundle that the answer is from")]
    known: Annotated[bool, Field(description="false: the user has no row, and the answer is that of a new user")]
    items: Annotated[list[ScoredItem], Field(description="the candidates, highest score first")]
    unknown_items: Annotated[list[str], Field(description="candidates that the bundle does not know")]


class SimilarItem(BaseModel):
    """An item whose vector points nearly the same way."""

    item_id: Annotated[str, Field(description="the other item")]
    name: Annotated[str | None, Field(description="only where the catalogue of items has a name")] = None
    cosine: Annotated[float, Field(description="1: the same direction; 0: no relation; -1: opposite")]


class SimilarItems(BaseModel):
    """The items nearest to an item, the highest cosine first."""

    item_id: Annotated[str, Field(description="the item")]
    bundle_id: Annotated[str, Field(description="the bundle that the answer is from")]
    items: Annotated[list[SimilarItem], Field(description="the highest cosine first")]


class Stepped(BaseModel):
    """What a session without history leads to."""

    bundle_id: Annotated[str, Field(description="the bundle that the answer is from")]
    representation: Annotated[list[float], Field(description="the vector after the events")]
    steps: Annotated[int, Field(description="events that count")]
    unknown_items: Annotated[list[str], Field(description="items of the events that the bundle does not know")]
    unknown_actions: Annotated[list[str], Field(description="actions of the events that the bundle does not know")]
    items: Annotated[list[ScoredItem], Field(description="the highest score first")]


class ErasureSent(BaseModel):
    """An erasure that was sent."""

    user_id: Annotated[str, Field(description="the user")]
    at: Annotated[dict[str, int], Field(description="offset of the erasure, by partition")]
    status: Annotated[str, Field(description="path that says whether the user is forgotten")]


class ErasureStatus(BaseModel):
    """How far an erasure is."""

    user_id: Annotated[str, Field(description="the user")]
    is_forgotten: Annotated[bool, Field(description="true: no bundle has a row of the user any more")]
    bundles: Annotated[list[str], Field(description="one line for each bundle")]


class ProblemBody(BaseModel):
    """application/problem+json of RFC 9457"""

    type: Annotated[str, Field(description="the kind of the problem, a stable word")]
    title: Annotated[str, Field(description="the kind of the problem in words")]
    status: Annotated[int, Field(description="the status of the answer")]
    detail: Annotated[str, Field(description="what was wrong, where, and what to do")]
