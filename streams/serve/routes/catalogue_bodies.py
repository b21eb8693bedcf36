"""The bodies of answers about the catalogue, and the filters of requests, as the OpenAPI document shows them."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from streams.serve.catalogue.filters import Filters
from streams.serve.routes.bodies import Id

MOST_CATEGORIES, MOST_DAYS = 20, 36_500
Price = Annotated[float | None, Field(ge=0, allow_inf_nan=False)]


class ItemFilters(BaseModel):
    """The filters of a request as query parameters. An item without a value under a filter is left out."""

    category: Annotated[
        Sequence[Id], Field(max_length=MOST_CATEGORIES, description="category of the catalogue; may stand again")
    ] = ()
    price_min: Annotated[Price, Field(description="lowest price of an item")] = None
    price_max: Annotated[Price, Field(description="highest price of an item")] = None
    new_days: Annotated[
        int | None, Field(ge=1, le=MOST_DAYS, description="items first seen within so many days alone")
    ] = None

    def filters(self) -> Filters:
        return Filters(tuple(sorted(set(self.category))), self.price_min, self.price_max, self.new_days)


class Item(BaseModel):
    """What the catalogue says of an item. A field that the catalogue lacks is null."""

    item_id: Annotated[str, Field(description="the item")]
    name: Annotated[str | None, Field(description="null: the catalogue has none")]
    category: Annotated[str | None, Field(description="null: the catalogue has none")]
    brand: Annotated[str | None, Field(description="null: the catalogue has none")]
    price: Annotated[float | None, Field(description="null: the catalogue has none")]
    image_url: Annotated[str | None, Field(description="null: the catalogue has none")]
    available: Annotated[bool, Field(description="false: the item is never recommended")]
    first_seen_ms: Annotated[int | None, Field(description="milliseconds since 1970; null: the catalogue has none")]
    bundle_id: Annotated[str, Field(description="the bundle that the answer is from")]
    known_to_bundle: Annotated[bool, Field(description="false: the model does not know the item and leaves it out")]


class CatalogueStatus(BaseModel):
    """How far the reading of the catalogue is."""

    state: Annotated[
        Literal["starting", "absent", "loading", "following", "unreachable"],
        Field(description="absent: there is no topic; unreachable: Kafka does not answer, and the items are older"),
    ]
    items: Annotated[int, Field(description="items of the catalogue that were read")]
    lag_records: Annotated[int, Field(description="records that are not read yet")]
    broken: Annotated[int, Field(description="records that were ignored, because they are no items")]
