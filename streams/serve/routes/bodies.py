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

    user_ids: Annotated[list[Id], FIRST_ERROR, Field(min_length=1, max_length=MOST_USERS)]


class Candidates(Request):
    """The items to put in order for a user."""

    user_id: Id
    item_ids: Annotated[list[Id], FIRST_ERROR, Field(min_length=1, max_length=MOST_CANDIDATES)]


class Event(Request):
    """An event of the behaviour topic without the ids, which `POST /v1/step` does not need."""

    item_id: Id
    action: Id
    event_time_ms: Annotated[
        int,
        Field(ge=0, le=MAX_TIME_MS, description="at most 24 hours after the server's clock"),
        BeforeValidator(whole_number),
    ]
    category: Annotated[str, Field(max_length=MAX_TEXT)] | None = None
    price: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    attributes: Annotated[dict[Id, str | int | float] | None, BeforeValidator(checked_attributes)] = None


class Events(Request):
    """The events of a session, in their order."""

    events: Annotated[list[Event], FIRST_ERROR, Field(min_length=1, max_length=MOST_EVENTS)]
    k: Count = 20


class Representation(BaseModel):
    """What is known of a user."""

    user_id: str
    bundle_id: str
    representation: Annotated[list[float], Field(description="rank items by their dot product with the item vectors")]
    steps: Annotated[int, Field(description="events applied so far")]
    last_time_ms: Annotated[int, Field(description="latest event time seen")]
    last_item: str | None
    recent_items: Annotated[list[str], Field(description="the last distinct items, newest first; at most ten")]
    bought_items: Annotated[list[str], Field(description="the last distinct items that were bought, newest first")]
    written_at_ms: int
    age_ms: Annotated[int, Field(description="time since the row was written")]


class Representations(BaseModel):
    """What is known of several users."""

    bundle_id: str
    representations: Annotated[list[Representation], Field(description="in the order of the request")]
    unknown: Annotated[list[str], Field(description="users without a row")]


class ScoredItem(BaseModel):
    """An item with its score, which is the sum of the parts."""

    item_id: str
    name: Annotated[str | None, Field(description="only where the catalogue of items has a name")] = None
    score: float
    dot: Annotated[float, Field(description="dot product of the item's vector and the representation")]
    repeat: Annotated[float, Field(description="what one of the user's recent items has besides")]
    co: Annotated[float, Field(description="how often the item stands in visits with recent items, or with the basket")]
    content: Annotated[float, Field(description="category and brand in common with recent items, or with the basket")]


class Recommendations(BaseModel):
    """The best items for a user."""

    user_id: str
    bundle_id: str
    known: Annotated[bool, Field(description="false: the user has no row, and the items are those of a new user")]
    steps: int
    items: list[ScoredItem]


class Ranking(BaseModel):
    """The candidates in the order of their scores."""

    user_id: str
    bundle_id: str
    known: bool
    items: Annotated[list[ScoredItem], Field(description="the candidates, highest score first")]
    unknown_items: Annotated[list[str], Field(description="candidates that the bundle does not know")]


class SimilarItem(BaseModel):
    """An item whose vector points nearly the same way."""

    item_id: str
    name: Annotated[str | None, Field(description="only where the catalogue of items has a name")] = None
    cosine: float


class SimilarItems(BaseModel):
    """The items nearest to an item, the highest cosine first."""

    item_id: str
    bundle_id: str
    items: list[SimilarItem]


class Stepped(BaseModel):
    """What a session without history leads to."""

    bundle_id: str
    representation: list[float]
    steps: int
    unknown_items: Annotated[list[str], Field(description="items of the events that the bundle does not know")]
    unknown_actions: Annotated[list[str], Field(description="actions of the events that the bundle does not know")]
    items: list[ScoredItem]


class ErasureSent(BaseModel):
    """An erasure that was sent."""

    user_id: str
    at: Annotated[dict[str, int], Field(description="offset of the erasure, by partition")]
    status: Annotated[str, Field(description="path that says whether the user is forgotten")]


class ErasureStatus(BaseModel):
    """How far an erasure is."""

    user_id: str
    is_forgotten: bool
    bundles: Annotated[list[str], Field(description="one line for each bundle")]


class ProblemBody(BaseModel):
    """application/problem+json of RFC 9457"""

    type: str
    title: str
    status: int
    detail: str
