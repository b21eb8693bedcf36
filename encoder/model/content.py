"""Vectors of features: of the content and the embeddings of an item, and of the hour of an event."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from encoder.data.features import BRAND, CATEGORY, EPOCH_HOUR, HOUR_MS, PRICE, WEEK_HOURS
from encoder.errors import InputError
from encoder.item_embeddings.embeddings import ItemEmbeddings, Preparation
from encoder.model.config import EmbeddingShape

DAY_HOURS, WEEK_DAYS = 24, 7


class Content(nn.Module):
    """The sum of one vector of width D for each feature of an item. All vectors are zero until they are trained.

    Row 0 of a feature's table stands for missing and unknown values. In training, a share of the values is hidden, so
    that row 0 is trained.
    """

    # (k + 1,) float32. The first boundary is -inf, so that every price reaches row 1 or above. A missing price is nan,
    # which reaches no boundary and has row 0.
    price_boundaries: Tensor

    def __init__(
        self,
        names: tuple[str, ...],
        width: int,
        *,
        categories: int,
        brands: int,
        price_boundaries: tuple[float, ...],
        hidden_share: float,
    ) -> None:
        """names: some of `encoder.data.features.ITEM_FEATURES`. hidden_share: share of values hidden in training."""
        super().__init__()
        self._hidden_share = hidden_share
        bounds = torch.tensor([-torch.inf, *price_boundaries], dtype=torch.float32)
        self.register_buffer("price_boundaries", bounds, persistent=False)
        rows = {CATEGORY: categories + 1, BRAND: brands + 1, PRICE: len(bounds) + 1}
        self.tables = nn.ParameterDict({name: torch.zeros(rows[name], width) for name in names})

    def rows(self, name: str, value: Tensor) -> Tensor:
        """(...) values of a feature -> (...) int64 rows of the feature's table."""
        row = (value.unsqueeze(-1) >= self.price_boundaries).sum(dim=-1) if name == PRICE else value
        if self.training:
            row = row * (torch.rand(row.shape, device=row.device) >= self._hidden_share)
        return row

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """(...) values of each feature -> (..., D) float32 sum of the features' vectors."""
        parts = [functional.embedding(self.rows(name, features[name]), table) for name, table in self.tables.items()]
        return torch.stack(parts).sum(dim=0)


class EmbeddingMap(nn.Module):
    """A linear map of the item embeddings of all sources to vectors of width D. It is zero until it is trained.

    The map reads the prepared embeddings of all sources side by side. An item without an embedding of a source has
    zeros there, which are the mean of the training items.
    """

    of_items: Tensor  # (N + 1, C) float32 prepared embeddings by item index, C components of all sources together

    def __init__(self, shapes: Mapping[str, EmbeddingShape], items: int, width: int) -> None:
        """shapes: by the name of the source, in the order of the columns."""
        super().__init__()
        self._shapes = dict(shapes)
        total = sum(shape.components for shape in shapes.values())
        self.weight = nn.Parameter(torch.zeros(total, width))
        self.register_buffer("of_items", torch.zeros(items + 1, total))
        for name, shape in shapes.items():
            self.register_buffer(f"mean_of_{name}", torch.zeros(shape.width))
            self.register_buffer(f"components_of_{name}", torch.zeros(shape.width, shape.components))

    def set_preparation(self, name: str, preparation: Preparation) -> None:
        """Store how the embeddings of a source are prepared."""
        self.get_buffer(f"mean_of_{name}").copy_(torch.from_numpy(preparation.mean))
        self.get_buffer(f"components_of_{name}").copy_(torch.from_numpy(preparation.components))

    def set_embeddings(self, embeddings: ItemEmbeddings, items: Sequence[str], first: int = 1) -> None:
        """Store the prepared embeddings of the items whose indices begin with `first`, where a file has them.

        Raises InputError when the model does not know the source, or knows the source with another width.
        """
        shape = self._shapes.get(embeddings.name)
        if shape is None:
            raise InputError(
                f"item embeddings {embeddings.name!r}: the model was trained with {', '.join(map(repr, self._shapes))} "
                "and keeps its shape; use one of these names, leave the file out, or train a new model"
            )
        if shape.width != embeddings.width:
            raise InputError(
                f"item embeddings {embeddings.name!r} have {embeddings.width} numbers each, and the model was trained "
                f"with {shape.width}: give embeddings of the embedder that the training had, or train a new model"
            )
        names = list(self._shapes)
        start = sum(self._shapes[name].components for name in names[: names.index(embeddings.name)])
        mean, components = (self.get_buffer(f"{part}_of_{embeddings.name}").numpy() for part in ("mean", "components"))
        rows = embeddings.rows(items)
        places = np.flatnonzero(rows >= 0)
        prepared = Preparation(mean, components).apply(embeddings.vectors, rows[places])
        self.of_items[first + places, start : start + shape.components] = torch.from_numpy(prepared)

    def forward(self, items: Tensor | None = None) -> Tensor:
        """(...) int64 item indices -> (..., D) float32 vectors. None: all items, (N + 1, D)."""
        mapped: Tensor = (self.of_items if items is None else self.of_items[items]) @ self.weight
        return mapped


class WeekHours(nn.Module):
    """A vector for the hour of the day plus a vector for the day of the week, both UTC. All are zero until trained."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hours = nn.Parameter(torch.zeros(DAY_HOURS, width))
        self.days = nn.Parameter(torch.zeros(WEEK_DAYS, width))

    def table(self) -> Tensor:
        """(168, D) float32 vectors by hour of the week. Hour 0 is the first hour of Monday."""
        return (self.days[:, None] + self.hours[None]).flatten(0, 1)

    def rows(self, time_ms: Tensor) -> Tensor:
        """(...) int64 milliseconds since 1970-01-01 UTC -> (...) int64 hours of the week."""
        return (time_ms // HOUR_MS + EPOCH_HOUR) % WEEK_HOURS

    def forward(self, time_ms: Tensor) -> Tensor:
        """(...) int64 milliseconds since 1970-01-01 UTC -> (..., D) float32."""
        return functional.embedding(self.rows(time_ms), self.table())
