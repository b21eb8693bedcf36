"""The catalogue as the routes need it: by bundle, with problems where the catalogue cannot answer."""

import time

import numpy as np
from numpy.typing import NDArray

from export.runtime.bundle import Bundle
from streams.contracts.catalogue_items import CatalogueItem
from streams.serve.catalogue.filters import NO_FILTERS, Filters, ItemMasks, Mask
from streams.serve.catalogue.progress import Progress
from streams.serve.http.problems import unavailable


class ServedCatalogue:
    """Answers from the present catalogue."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self._masks: dict[str, tuple[object, ItemMasks]] = {}  # by bundle, with the catalogue of the masks

    def get(self, item_id: str) -> CatalogueItem | None:
        """What is known of an item. Raises ProblemError where the catalogue was not read yet."""
        self._check_read(is_needed=True)
        return self.progress.catalogue.get(item_id)

    def allowed(self, bundle: Bundle, filters: Filters = NO_FILTERS) -> Mask | None:
        """The mask of `ItemMasks.allowed` at this time. None where every item may be recommended.

        Raises ProblemError while the catalogue is read for the first time, and where filters need a catalogue that
        cannot be read.
        """
        self._check_read(is_needed=not filters.is_empty)
        return self._of(bundle).allowed(filters, int(time.time() * 1000))

    def allowed_so_far(self, bundle: Bundle) -> Mask | None:
        """The mask of `allowed` without filters. None also while the catalogue is read for the first time."""
        return None if self.progress.is_pending else self.allowed(bundle)

    def names(self, bundle: Bundle, items: NDArray[np.int64]) -> list[str | None]:
        """The names of the items with these indices, None where the catalogue has no name."""
        return self._of(bundle).names(items)

    def _check_read(self, is_needed: bool) -> None:
        progress = self.progress
        if progress.is_pending:
            raise unavailable(
                f"the catalogue of items is being read, {progress.lag_records} records are left; try again"
            )
        if is_needed and progress.state == "unreachable" and not progress.has_loaded:
            raise unavailable("the catalogue of items was never read, because Kafka does not answer; try again")

    def _of(self, bundle: Bundle) -> ItemMasks:
        catalogue = self.progress.catalogue
        found = self._masks.get(bundle.bundle_id)
        if found is None or found[0] is not catalogue:
            found = self._masks[bundle.bundle_id] = (catalogue, ItemMasks(catalogue, bundle.item_index))
        return found[1]
