"""The bodies of answers about the catalogue, and the filters of requests, as the OpenAPI document shows them."""

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import Query
from pydantic import BaseModel, Field

from streams.serve.catalogue.filters import Filters
from streams.serve.routes.bodies import Id

MOST_CATEGORIES, MOST_DAYS = 20, 36_500
Price = Annotated[float | None, Query(ge=0, allow_inf_nan=False)]


async def filters_of(
    category: Annotated[
        Sequence[Id], Query(max_length=MOST_CATEGORIES, description="category of the catalogue; may stand again")
    ] = (),
    price_min: Annotated[Price, Query(description="lowest price of an item")] = None,
    price_max: Annotated[Price, Query(description="highest price of an item")] = None,
    new_days: Annotated[
        int | None, Query(ge=1, le=MOST_DAYS, description="items first seen within so many days alone")
    ] = None,
) -> Filters:
    """The filters of a request. An item without a value under a filter is left out."""
    return Filters(tuple(sorted(set(category))), price_min, price_max, new_days)


class Item(BaseModel):
    """What the catalogue says of an item. A field that the catalogue lacks is null."""

    item_id: str
    name: str | None
    category: str | None
    brand: str | None
    price: float | None
    image_url: str | None
    available: Annotated[bool, Field(description="false: the item is never recommended")]
    first_seen_ms: int | None
    bundle_id: str
    known_to_bundle: Annotated[bool, Field(description="false: the model does not know the item and leaves it out")]


class CatalogueStatus(BaseModel):
    """How far the reading of the catalogue is."""

    state: Annotated[
        Literal["starting", "absent", "loading", "following", "unreachable"],
        Field(description="absent: there is no topic; unreachable: Kafka does not answer, and the items are older"),
    ]
    items: int
    lag_records: Annotated[int, Field(description="records that are not read yet")]
    broken: Annotated[int, Field(description="records that were ignored, because they are no items")]
