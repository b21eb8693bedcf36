"""Times of ISO 8601 in the layouts of logs, all times of a column at once."""

import numpy as np
from numpy.typing import NDArray

_DAY_MS = 86_400_000
_DAYS_OF_MONTH = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_FIRST_YEAR = 1970
_DATE_BYTES, _TIME_BYTES = len("2019-10-01"), len("2019-10-01 00:00:00")
_ENDINGS = (b"", b"Z", b" UTC")  # behind the seconds


def parse_iso_times(data: NDArray[np.uint8], offsets: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Parse n texts such as 2019-10-01, 2019-10-01T00:00:00Z and 2019-10-01 00:00:00 UTC, from 1970 on.

    Returns (n,) milliseconds since 1970-01-01 UTC, and (n,) which texts have one of these layouts. The milliseconds of
    the layouts are those of `encoder.data.loaders.text.times.from_iso`.
    """
    time_ms = np.zeros(len(offsets) - 1, np.int64)
    is_parsed = np.zeros(len(time_ms), bool)
    size = np.diff(offsets)
    for length in {_DATE_BYTES, *(_TIME_BYTES + len(ending) for ending in _ENDINGS)}:
        rows = np.flatnonzero(size == length)
        if len(rows):
            text = data[offsets[rows, None] + np.arange(length)]
            time_ms[rows], is_parsed[rows] = _parse(text)
    return time_ms, is_parsed


def _parse(text: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """text: (n, length) the bytes of texts of one length."""
    digits = text.astype(np.int64) - ord("0")
    is_digit = (digits >= 0) & (digits <= 9)

    def number(begin: int, end: int) -> NDArray[np.int64]:
        value: NDArray[np.int64] = digits[:, begin:end] @ 10 ** np.arange(end - begin)[::-1]
        return value

    year, month, day = number(0, 4), number(5, 7), number(8, 10)
    is_valid = _all(is_digit[:, [0, 1, 2, 3, 5, 6, 8, 9]])
    is_valid &= (text[:, 4] == ord("-")) & (text[:, 7] == ord("-"))
    is_leap = ((year % 4 == 0) & (year % 100 != 0)) | (year % 400 == 0)
    last_day = _DAYS_OF_MONTH[np.clip(month, 0, 12)] + (is_leap & (month == 2))
    is_valid &= (year >= _FIRST_YEAR) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= last_day)
    time_ms = np.where(is_valid, _days_since_1970(year, month, day), 0) * _DAY_MS
    if text.shape[1] == _DATE_BYTES:
        return time_ms, is_valid
    hour, minute, second = number(11, 13), number(14, 16), number(17, 19)
    is_valid &= _all(is_digit[:, [11, 12, 14, 15, 17, 18]])
    is_valid &= (text[:, 10] == ord(" ")) | (text[:, 10] == ord("T"))
    is_valid &= (text[:, 13] == ord(":")) & (text[:, 16] == ord(":")) & (hour < 24) & (minute < 60) & (second < 60)
    ending = next(ending for ending in _ENDINGS if len(ending) == text.shape[1] - _TIME_BYTES)
    is_valid &= _all(text[:, _TIME_BYTES:] == np.frombuffer(ending, np.uint8))
    return time_ms + ((hour * 60 + minute) * 60 + second) * 1000, is_valid


def _all(values: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n, k) -> (n,) whether all values of a row are true."""
    are_true: NDArray[np.bool_] = np.logical_and.reduce(values, axis=1)
    return are_true


def _days_since_1970(year: NDArray[np.int64], month: NDArray[np.int64], day: NDArray[np.int64]) -> NDArray[np.int64]:
    months = ((year - _FIRST_YEAR) * 12 + month - 1).astype("datetime64[M]")
    days: NDArray[np.int64] = months.astype("datetime64[D]").astype(np.int64) + day - 1
    return days
