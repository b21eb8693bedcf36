"""What a user's last distinct items add to their own scores: the model's knowledge of what repeats.

A dot product cannot lower the score of one item without lowering the scores of similar items. So the model names the
items of the recent history, and gives each of them a number that is added to its score. RepeatNet (Ren et al. 2019,
https://doi.org/10.1609/aaai.v33i01.33014806) has the idea to treat repeats apart, and mixes two distributions. Here the
number is a part of the score.
"""

import torch
from torch import Tensor, nn

from encoder.data.recent_items import FIELDS, PLACES


class RecentItems(nn.Module):
    """Scores the last K = PLACES distinct items of a user. The items are those of `encoder.data.recent_items`.

    An item's score is a sum of numbers for its place, for the action of its last event, for the logarithm of its age
    and for the logarithm of its count. `encoder.training.calibration.scores` fits these numbers. Without a fit, recent
    items have no effect. The state has K numbers for each of FIELDS. An empty place has zeros.
    """

    place: Tensor  # (K,) float32
    action: Tensor  # (A + 1,) float32
    age: Tensor  # () float32
    count: Tensor  # () float32
    scale: Tensor  # () float32, by which the dot products were multiplied

    def __init__(self, actions: int) -> None:
        """actions: A."""
        super().__init__()
        self.state_width = len(FIELDS) * PLACES
        self.register_buffer("scale", torch.ones(()))
        for name, shape in (("place", (PLACES,)), ("action", (actions + 1,)), ("age", ()), ("count", ())):
            self.register_buffer(name, torch.zeros(shape))

    def forward(self, item: Tensor, action: Tensor, age_s: Tensor, count: Tensor) -> Tensor:
        """What is added to the scores of recent items, (..., K) float32, which is 0 for an empty place.

        item, action: (..., K) int64. age_s, count: (..., K) float32.
        """
        scores: Tensor = self.place + self.action[action] + self.age * age_s.log1p() + self.count * count.log1p()
        return scores * (item > 0)

    def step(self, item: Tensor, action: Tensor, gap_ms: Tensor, state: Tensor) -> Tensor:
        """(B,) int64 items, actions and gaps, (B, FIELDS · K) states before the events -> states after the events."""
        items, actions, ages_s, counts, _ = state.view(len(state), len(FIELDS), PLACES).unbind(dim=1)
        is_known = (item > 0)[:, None]
        is_item = (items == item[:, None]) & is_known
        # A place takes over the place before it, up to the item's own former place.
        moves = is_known & (is_item.cumsum(dim=1) - is_item.long() == 0)
        gap_s = gap_ms.clamp(min=0).float() / 1000
        newest = item.float(), action.float(), torch.zeros_like(gap_s), 1 + (is_item * counts).sum(dim=1)
        before = items, actions, ages_s + gap_s[:, None] * (items > 0), counts
        after = [
            torch.where(moves, torch.cat([new[:, None], field[:, :-1]], dim=1), field)
            for new, field in zip(newest, before, strict=True)
        ]
        scores = self(after[0].long(), after[1].long(), *after[2:])
        return torch.cat([*after, scores], dim=1)
