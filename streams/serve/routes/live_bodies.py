"""The bodies of the answers for the page, as the OpenAPI document shows them."""

from typing import Annotated

from pydantic import BaseModel, Field

Share = Annotated[float, Field(ge=0, le=1)]


class MapItem(BaseModel):
    """An item on the map."""

    item_id: Annotated[str, Field(description="the item")]
    x: Annotated[float, Field(description="place on the map")]
    y: Annotated[float, Field(description="place on the map")]


class Map(BaseModel):
    """The plane of the two first principal components of the directions of the bundle's items."""

    bundle_id: Annotated[str, Field(description="the bundle that the answer is from")]
    explained: Annotated[list[Share], Field(description="share of the variance of the directions along x and along y")]
    items: Annotated[list[MapItem], Field(description="some items, evenly chosen from the catalogue")]


class SeenEvent(BaseModel):
    """An event with the rank of its item before the event was applied."""

    id: Annotated[str, Field(description="id of the evaluation event")]
    user_id: Annotated[str, Field(description="the user")]
    item_id: Annotated[str, Field(description="the item")]
    action: Annotated[str, Field(description="the action of the event")]
    event_time_ms: Annotated[int, Field(description="milliseconds since 1970")]
    rank: Annotated[int | None, Field(description="rank of the item before the event; null: an unknown item")]
    catalogue: Annotated[int, Field(description="number of ranked items")]
    steps: Annotated[int, Field(description="events of the user that were applied before")]
    turned_degrees: Annotated[
        float | None, Field(description="angle between the vector after the update of this event and the one before")
    ]


class SeenPlace(BaseModel):
    """Where the user's vector stood on the map."""

    source: Annotated[str, Field(description="id of the last event that had been applied")]
    steps: Annotated[int, Field(description="events of the user that were applied by then")]
    event_time_ms: Annotated[int, Field(description="milliseconds since 1970")]
    x: Annotated[float, Field(description="place on the map")]
    y: Annotated[float, Field(description="place on the map")]
    turned_degrees: Annotated[
        float | None,
        Field(description="angle between the vector after the update and the one before; null: none was seen before"),
    ]


class ItemBefore(BaseModel):
    """An item that was recommended under the vector before."""

    item_id: Annotated[str, Field(description="the item")]
    score: Annotated[float, Field(description="the sum of the parts")]


class ItemAfter(BaseModel):
    """A recommended item on the map, and what the vector before said of it."""

    item_id: Annotated[str, Field(description="the item")]
    score: Annotated[float, Field(description="the sum of the parts")]
    x: Annotated[float, Field(description="place on the map")]
    y: Annotated[float, Field(description="place on the map")]
    score_before: Annotated[float | None, Field(description="null where no vector of before was seen")]
    rank_before: Annotated[int | None, Field(description="null below the first 500, or where no vector was seen")]


class ListBefore(BaseModel):
    """The recommendations under the vector before."""

    steps: Annotated[int, Field(description="events applied so far")]
    items: Annotated[list[ItemBefore], Field(description="the highest score first")]


class ListAfter(BaseModel):
    """The recommendations under the present vector."""

    steps: Annotated[int, Field(description="events applied so far")]
    items: Annotated[list[ItemAfter], Field(description="the highest score first")]


class SeenUser(BaseModel):
    """What the server has lately seen of a user.

    The server looks at events and vectors only while a page is open, and for a minute after such a question.
    """

    user_id: Annotated[str, Field(description="the user")]
    bundle_id: Annotated[str, Field(description="the bundle that the answer is from")]
    known: Annotated[bool, Field(description="false: the user has no row")]
    events: Annotated[list[SeenEvent], Field(description="the newest first")]
    places: Annotated[list[SeenPlace], Field(description="the oldest first")]
    before: Annotated[ListBefore | None, Field(description="by the vector before the last update; null: not seen")]
    after: Annotated[ListAfter, Field(description="by the stored vector, with places on the map")]
