"""MovieLens ratings: user, movie, rating and time in seconds.

ratings.csv   separated by commas, with the header userId,movieId,rating,timestamp (ml-20m, ml-25m, ml-latest)
ratings.dat   separated by ::, without a header (ml-1m, ml-10m)
u.data        separated by tabs, without a header (ml-100k)
"""

from pathlib import Path

from encoder.data.event_ids import UNNAMED
from encoder.data.loaders.row_batches import RawEvent
from encoder.data.loaders.tables.delimited import Layout, check_header
from encoder.data.loaders.text.numbers import float_or_text
from encoder.data.loaders.text.times import from_seconds

_HEADER = "userId,movieId,rating,timestamp"


def layout(first_line: str, path: Path) -> Layout:
    """The layout of the file at `path`, which begins with `first_line`."""
    for separator in ("::", "\t"):
        if separator in first_line:
            return Layout(separator, columns=4, user_column=0, parse_event=_parse_event, has_header=False)
    check_header(first_line, _HEADER, path, "MovieLens")
    return Layout(",", columns=4, user_column=0, parse_event=_parse_event, has_header=True)


def _parse_event(cells: list[str]) -> RawEvent:
    user, movie, rating, time = cells
    return RawEvent(
        event_id=UNNAMED,
        user_id=user,
        item_id=movie,
        action="rate",
        event_time_ms=from_seconds(time),
        attributes={"rating": float_or_text(rating)},
    )
