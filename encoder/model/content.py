"""Vectors of features: of the content of an item, and of the hour of an event."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoder.data.features import BRAND, CATEGORY, EPOCH_HOUR, HOUR_MS, PRICE, WEEK_HOURS

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
