"""Small SVG plots as text. This module is pure and needs no library, and a plot loads nothing from elsewhere.

Colours are the CSS classes `ink-1` to `ink-4`, for which the page has light and dark colours.
"""

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

INKS = 4
# Sizes are in units of the SVG's view box.
WIDTH, HEIGHT = 460, 240
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 12, 38  # margins of a line plot
ROW, LABEL, VALUE = 24, 200, 56  # of a bar chart: height of a row, width of its label and of its value
TICKS = 5
LETTER = 5.8  # mean width of a letter; labels that are wider than LABEL are cut


class Line(NamedTuple):
    label: str
    points: list[tuple[float, float]]


class Bar(NamedTuple):
    label: str
    value: float
    interval: Sequence[float] | None = None


def lines(title: str, x_label: str, series: Sequence[Line], *, is_from_zero: bool = True) -> str:
    """A plot of lines over a common x axis, or an empty text without points.

    The y axis begins at 0 or at the lowest value below 0; without `is_from_zero`, it begins at the lowest value.
    """
    points = [point for line in series for point in line.points if math.isfinite(point[1])]
    if not points:
        return ""
    x_ticks = ticks(min(x for x, _ in points), max(x for x, _ in points))
    lowest = min(y for _, y in points)
    y_ticks = ticks(min(0.0, lowest) if is_from_zero else lowest, max(y for _, y in points))
    x_low, x_span = x_ticks[0], (x_ticks[-1] - x_ticks[0]) or 1.0
    y_low, y_span = y_ticks[0], (y_ticks[-1] - y_ticks[0]) or 1.0

    def x_at(x: float) -> float:
        return LEFT + (x - x_low) / x_span * (WIDTH - LEFT - RIGHT)

    def y_at(y: float) -> float:
        return HEIGHT - BOTTOM - (y - y_low) / y_span * (HEIGHT - TOP - BOTTOM)

    parts = []
    for value in y_ticks:
        at = y_at(value)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" class="grid"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{value:.6g}</text>')
    parts += [
        f'<text x="{x_at(x):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{x:.6g}</text>' for x in x_ticks
    ]
    parts.append(f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 4}" text-anchor="middle">{escape(x_label)}</text>')
    legend = []
    for number, line in enumerate(series):
        ink = f"ink-{number % INKS + 1}"
        drawn = [(x_at(x), y_at(y)) for x, y in line.points if math.isfinite(y)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in drawn)
        parts.append(f'<polyline points="{path}" class="line {ink}"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" class="{ink}"/>' for x, y in drawn]
        legend.append(f'<span class="{ink}">&#9679;</span> {escape(line.label)}')
    note = f"<small>{' &ensp; '.join(legend)}</small>" if len(series) > 1 else ""
    return _figure(title, note, WIDTH, HEIGHT, parts)


def ticks(low: float, high: float) -> list[float]:
    """About TICKS round numbers from at most `low` to at least `high`, 1, 2 or 5 times a power of ten apart."""
    if not high > low:
        return [low, low + 1.0]
    rough = (high - low) / (TICKS - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step for step in (power, 2 * power, 5 * power, 10 * power) if step >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, last + 1)]


def bars(title: str, rows: Sequence[Bar], mark: float | None = None) -> str:
    """A chart of horizontal bars from 0, with intervals as whiskers. Without rows, the text is empty.

    mark: where a vertical line stands.
    """
    if not rows:
        return ""
    values = [bar.value for bar in rows] + [bar.interval[1] for bar in rows if bar.interval]
    scale = (WIDTH - LABEL - VALUE) / (max([*values, mark or 0.0]) or 1.0)
    height = len(rows) * ROW + 4
    parts = []
    for number, bar in enumerate(rows):
        middle = number * ROW + ROW / 2
        parts.append(f'<text x="{LABEL - 8}" y="{middle + 4}" text-anchor="end">{escape(_shortened(bar.label))}</text>')
        parts.append(
            f'<rect x="{LABEL}" y="{middle - 7}" width="{bar.value * scale:.1f}" height="14" rx="2" class="ink-1"/>'
        )
        end = bar.value
        if bar.interval:
            low, end = bar.interval
            parts.append(
                f'<line x1="{LABEL + low * scale:.1f}" x2="{LABEL + end * scale:.1f}" y1="{middle}" y2="{middle}" '
                'class="whisker"/>'
            )
        at = LABEL + max(end, bar.value, mark or 0.0) * scale + 6
        parts.append(f'<text x="{at:.1f}" y="{middle + 4}">{bar.value:.4f}</text>')
    if mark is not None:
        at = LABEL + mark * scale
        parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="0" y2="{height}" class="mark"/>')
    return _figure(title, "", WIDTH, height, parts)


def _shortened(label: str) -> str:
    """The label, cut at the width LABEL."""
    letters = int((LABEL - 8) / LETTER)
    return label if len(label) <= letters else label[: letters - 1] + "…"


def _figure(title: str, note: str, width: int, height: int, parts: Sequence[str]) -> str:
    return (
        f'<figure><figcaption>{escape(title)}{note}</figcaption><svg viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg></figure>'
    )
