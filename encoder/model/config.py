"""The shape of a user model. A checkpoint stores the shape in checkpoint.json. This module does not need torch."""

import msgspec

from encoder.data.features import TIME

_S, _MINUTE, _HOUR, _DAY = 1_000, 60_000, 3_600_000, 86_400_000  # in milliseconds

# Bucket b holds gaps of at least b boundaries, so bucket 0 holds only the gap -1 of a first event. The boundaries are
# roughly logarithmic: seconds tell reading from skipping within a visit, and only the order of magnitude matters
# between visits.
GAP_BOUNDARIES_MS: tuple[int, ...] = (
    *(0, 2 * _S, 5 * _S, 10 * _S, 20 * _S, 45 * _S),
    *(_MINUTE * m for m in (2, 5, 10, 20, 40)),
    *(_HOUR * h for h in (1, 2, 4, 8, 16)),
    *(_DAY * d for d in (1, 2, 4, 8, 16, 32, 64, 128)),
)


class EmbeddingShape(msgspec.Struct, frozen=True):
    """The shape of the item embeddings of one source."""

    width: int  # V, of the embeddings in the files
    components: int  # C, of the prepared embeddings: see `encoder.item_embeddings.embeddings.Preparation`


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The shape of a model."""

    items: int  # N
    actions: int  # A
    cell: str = "gru"
    layers: int = 1  # of the cell
    width: int = 64  # D, of item vectors and inputs
    hidden: int = 64  # width of the cell
    dropout: float = 0.2  # share of inputs and of outputs that training drops
    unknown_share: float = 0.01  # share of items and actions that training hides, so that index 0 is trained
    gap_boundaries_ms: tuple[int, ...] = GAP_BOUNDARIES_MS
    traces: bool = False  # whether the model has `encoder.model.traces.Traces`
    counters: bool = False  # whether the model has `encoder.model.counters.Counters`
    recent_items: bool = False  # whether the model has `encoder.model.recent_items.RecentItems`
    heads: bool = False  # whether the model predicts the next action and the time to the next event
    week_hours: bool = False  # whether the hour of the week is an input
    content: tuple[str, ...] = ()  # item features that are part of an item's vector
    categories: int = 0
    brands: int = 0
    price_boundaries: tuple[float, ...] = ()
    item_embeddings: dict[str, EmbeddingShape] = {}  # by the name of the source
    id_dropout: float = 0.1  # share of items that a training step treats as new items

    @property
    def has_content(self) -> bool:
        """Whether something besides its id tells what an item is."""
        return bool(self.content or self.item_embeddings)

    @property
    def features(self) -> tuple[str, ...]:
        """The features of `encoder.data.features.EVENT_FEATURES` that are inputs of a step."""
        return (TIME, *self.content) if self.week_hours else self.content
