"""Vectors from features: what an item is, and when an event was."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoder.data.features import BRAND, CATEGORY, EPOCH_HOUR, HOUR_MS, PRICE, WEEK_HOURS

DAY_HOURS, WEEK_DAYS = 24, 7


class Content(nn.Module):
    """The sum of one row for each feature of an item. All rows are zero until trained. D: width.

    names: of `encoder.features.ITEM_FEATURES`. Row 0 of each stands for what is missing or unknown; it is trained by
    hiding a share of the others.
    """

    price_boundaries: Tensor  # (k + 1,) float32, the first -inf, so that no price at all is row 0: nan reaches none

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
        super().__init__()
        self._hidden_share = hidden_share
        bounds = torch.tensor([-torch.inf, *price_boundaries], dtype=torch.float32)
        self.register_buffer("price_boundaries", bounds, persistent=False)
        rows = {CATEGORY: categories + 1, BRAND: brands + 1, PRICE: len(bounds) + 1}
        self.tables = nn.ParameterDict({name: torch.zeros(rows[name], width) for name in names})

    def rows(self, name: str, value: Tensor) -> Tensor:
        """(...) values of a feature -> (...) int64 rows of its table."""
        row = (value.unsqueeze(-1) >= self.price_boundaries).sum(dim=-1) if name == PRICE else value
        if self.training:
            row = row * (torch.rand(row.shape, device=row.device) >= self._hidden_share)
        return row

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """(...) values of each of the features -> (..., D) float32."""
        parts = [functional.embedding(self.rows(name, features[name]), table) for name, table in self.tables.items()]
        return torch.stack(parts).sum(dim=0)


class WeekHours(nn.Module):
    """A row for the hour of the day plus one for the day of the week, UTC. All rows are zero until trained."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hours = nn.Parameter(torch.zeros(DAY_HOURS, width))
        self.days = nn.Parameter(torch.zeros(WEEK_DAYS, width))

    def table(self) -> Tensor:
        """(168, D) float32 rows by hour of the week, Monday's first."""
        return (self.days[:, None] + self.hours[None]).flatten(0, 1)

    def rows(self, time_ms: Tensor) -> Tensor:
        """(...) int64 milliseconds since 1970 -> (...) int64 hour of the week."""
        return (time_ms // HOUR_MS + EPOCH_HOUR) % WEEK_HOURS

    def forward(self, time_ms: Tensor) -> Tensor:
        """(...) int64 -> (..., D) float32."""
        return functional.embedding(self.rows(time_ms), self.table())
