"""The vectors of all items: as inputs of the model, and as the vectors against which representations are scored."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from encoder.data.features import BRAND, CATEGORY, PRICE, Features
from encoder.errors import InputError
from encoder.item_embeddings.embeddings import ItemEmbeddings
from encoder.model.config import ModelConfig
from encoder.model.content import Content, EmbeddingMap
from encoder.model.neighbours import Neighbours

RowReader = Callable[[Tensor, Tensor], Tensor]  # ((N + 1, D) table, (n,) distinct rows) -> (n, D)


def read_rows(table: Tensor, rows: Tensor) -> Tensor:
    """A `RowReader` for which the gradients of the rows belong to the table."""
    return functional.embedding(rows, table)


def random_directions(items: int, width: int, generator: torch.Generator | None = None) -> Tensor:
    """(items, width) float32 random vectors that are added to the unknown item's id to make the ids of new items.

    The directions distinguish new items with equal content, so that the model can recognise a new item that comes
    again. They are as long as untrained ids. Their first component is 0, because it holds an item's prior score and the
    content of the item alone decides the prior of a new item.
    """
    direction = torch.randn(items, width, generator=generator) / math.sqrt(width)
    direction[:, 0] = 0
    return direction


@dataclass
class StepItems:
    """The items of one training step. The default is a step with all items."""

    rows: Tensor | None = None  # (n,) ascending item indices that the step needs, starting with 0; None: all items
    row_of_item: Tensor | None = None  # (N + 1,) position of each item in `rows`
    read: RowReader = read_rows
    # (h,) rows of the items that the step treats as new, (h, D) their random directions.
    hidden: tuple[Tensor, Tensor] | None = None
    ids: Tensor | None = None  # (n, D) id vectors, computed once: inputs and scores of a step share the vectors


class ItemTable(nn.Module):
    """The vectors of N items with width D. Index 0 is the unknown item.

    An item's vector is the vector of its id. In training, the mean of its neighbours' ids is added to the id. When the
    model has content, the vectors of the item's features and of its embeddings are added as well.
    """

    item_category: Tensor  # (N + 1,) int64; these three buffers exist only in a model with content
    item_brand: Tensor  # (N + 1,) int64
    item_price: Tensor  # (N + 1,) float32

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.items = nn.Embedding(config.items + 1, config.width)
        self.content: Content | None = None
        self.embeddings: EmbeddingMap | None = None
        self.neighbours: Neighbours | None = None
        self._step_items = StepItems()

    def _add_content(self) -> None:
        """Add the parts for embeddings and for content features, and their buffers, when the shape has them."""
        config = self.config
        if config.item_embeddings:
            self.embeddings = EmbeddingMap(config.item_embeddings, config.items, config.width)
        if not config.content:
            return
        self.content = Content(
            config.content,
            config.width,
            categories=config.categories,
            brands=config.brands,
            price_boundaries=config.price_boundaries,
            hidden_share=config.unknown_share,
        )
        unknown = torch.zeros(config.items + 1, dtype=torch.int64)
        self.register_buffer("item_category", unknown)
        self.register_buffer("item_brand", unknown.clone())
        self.register_buffer("item_price", torch.full((config.items + 1,), torch.nan))

    def set_item_features(self, features: Features) -> None:
        """Store the features of all items. features: from `encoder.data.feature_extraction.item_features`."""
        for buffer, name in ((self.item_category, CATEGORY), (self.item_brand, BRAND), (self.item_price, PRICE)):
            buffer.copy_(torch.from_numpy(features[name]))

    def category_and_brand(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """(N + 1,) category and (N + 1,) brand of each item. 0 is unknown, also where the model has no such content."""
        nothing = np.zeros(self.config.items + 1, np.int32)
        category, brand = (
            getattr(self, f"item_{name}").cpu().numpy().astype(np.int32) if name in self.config.content else nothing
            for name in (CATEGORY, BRAND)
        )
        return category, brand

    def set_item_embeddings(self, sources: Iterable[ItemEmbeddings], items: Sequence[str], first: int = 1) -> None:
        """Store the embeddings of the items whose indices begin with `first`. An item without one keeps what it has.

        Raises InputError when the model was not trained with a source, or with another width of its embeddings.
        """
        for embeddings in sources:
            if self.embeddings is None:
                raise InputError(
                    f"item embeddings {embeddings.name!r}: the model was trained without item embeddings and keeps its "
                    "shape; leave the file out, or train a new model with --item-embeddings"
                )
            self.embeddings.set_embeddings(embeddings, items, first)

    def attach_neighbours(self, neighbours: Neighbours) -> None:
        """Add the mean of an item's neighbours to its id, until `fold_neighbours`."""
        self.eval()
        self.neighbours = neighbours

    def fold_neighbours(self) -> None:
        """Add what the neighbours contribute to the ids for good, and detach the neighbours."""
        self.eval()
        with torch.no_grad():
            self.items.weight.copy_(self._ids())
        self.neighbours = None

    def train(self, mode: bool = True) -> Self:
        """Switch between training and evaluation as torch does, and forget the items of the last training step."""
        self._step_items = StepItems()
        return super().train(mode)

    def begin_step(self, items: Tensor | None = None, read: RowReader = read_rows) -> None:
        """Begin a training step, which lasts until the next call. A random share of the items is treated as new.

        items: int64 indices of any shape that the step needs; None: all items. With `items`, the item table holds only
        the rows of these items, in ascending order and starting with index 0. A step then costs what the step needs,
        however large the catalogue is. read: reads rows of the id table and of other tables with a row for each item.
        """
        step = StepItems(read=read)
        count = self.config.items + 1
        if items is not None:
            step.rows = torch.unique(functional.pad(items.flatten(), (1, 0)))
            step.row_of_item = step.rows.new_zeros(count)
            step.row_of_item[step.rows] = torch.arange(len(step.rows), device=items.device)
            count = len(step.rows)
        if self.config.has_content:
            hidden = 1 + torch.nonzero(torch.rand(count - 1) < self.config.id_dropout).flatten()
            step.hidden = hidden, random_directions(len(hidden), self.config.width)
        self._step_items = step

    def table_rows(self, item: Tensor) -> Tensor:
        """(...) int64 item indices -> (...) int64 rows of `item_table`. The two differ in a step with some items."""
        row_of_item = self._step_items.row_of_item
        return item if row_of_item is None else row_of_item[item]

    def item_table(self) -> Tensor:
        """(N + 1, D) float32 item vectors by index. A step with some items has (n, D) vectors by `table_rows`."""
        vectors, rows = self._ids(), self._step_items.rows
        if self.content is not None:
            features = self._item_features()
            if rows is not None:
                features = {name: values[rows] for name, values in features.items()}
            vectors = vectors + self.content(features)
        if self.embeddings is not None:
            vectors = vectors + self.embeddings(rows)
        return vectors

    def item_vectors(self) -> Tensor:
        """(N, D) float32 vectors of the known items: row p belongs to item p + 1.

        The score of an item is the dot product of its vector and the first D components of a representation.
        """
        return self.item_table()[1:]

    def _ids(self) -> Tensor:
        """(n, D) float32 id vectors of the items, with the contributions of their neighbours."""
        step, weight = self._step_items, self.items.weight
        if step.ids is not None:
            return step.ids
        if step.rows is None:
            ids = weight if self.neighbours is None else self.neighbours(weight)
        else:
            read = partial(step.read, weight)
            ids = read(step.rows) if self.neighbours is None else self.neighbours.forward_rows(read, step.rows)
        if step.hidden is not None:
            hidden, direction = step.hidden
            ids = ids.index_copy(0, hidden, ids[0] + direction)
        if ids is not weight:
            step.ids = ids
        return ids

    def _item_features(self) -> Mapping[str, Tensor]:
        return {CATEGORY: self.item_category, BRAND: self.item_brand, PRICE: self.item_price}
