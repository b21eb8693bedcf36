"""The REES46 multi-category store log in its original nine-column CSV, plain or .gz.

https://rees46.com/en/datasets: event_time,event_type,product_id,category_id,category_code,brand,price,user_id,
user_session, where category_code, brand, price and user_session may be empty.
"""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import msgspec

from encoder.datasets.rows import Batch, line_batches, open_bytes
from encoder.errors import InputError
from encoder.events import BehaviorEvent

_HEADER = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session"
_COLUMNS = _HEADER.count(",") + 1


class Rees46:
    def batches(self, path: Path) -> Iterator[Batch]:
        with open_bytes(path) as file:
            header = file.readline().decode("utf-8-sig", errors="replace").strip()
            if header != _HEADER:
                raise InputError(f"{path} does not begin as a REES46 log: found {header[:120]!r}, expected {_HEADER!r}")
            first_line = 2
            for raw in line_batches(iter(file)):
                yield Batch(first_line, raw, [_event(line, number) for number, line in enumerate(raw, first_line)])
                first_line += len(raw)

    def value(self, raw: bytes, event: BehaviorEvent | str) -> bytes:
        return raw if isinstance(event, str) else msgspec.json.encode(event)

    def user_of(self, raw: bytes) -> str:
        cells = raw.decode(errors="replace").split(",")
        return cells[7] if len(cells) > 7 else ""


def _event(raw: bytes, line: int) -> BehaviorEvent | str:
    try:
        text = raw.decode()
        cells = next(csv.reader([text])) if '"' in text else text.split(",")
        if len(cells) != _COLUMNS:
            return f"{len(cells)} columns instead of {_COLUMNS}"
        time, action, product, category_id, category_code, brand, price, user, session = cells
        attributes: dict[str, str | int | float] = {}
        if category_id:
            attributes["category_id"] = category_id
        if brand:
            attributes["brand"] = brand
        return BehaviorEvent(
            event_id=f"rees46-{line}",
            user_id=user,
            item_id=product,
            action=action,
            event_time_ms=_time_ms(time),
            session_id=session or None,
            category=category_code or None,
            price=float(price) if price else None,
            attributes=attributes or None,
        )
    except (ValueError, csv.Error) as error:
        return str(error)


@lru_cache(maxsize=4096)  # rows stand in order of time, many in one second
def _time_ms(text: str) -> int:
    return int(datetime.strptime(text, "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC).timestamp()) * 1000
