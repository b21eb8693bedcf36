"""Small SVG plots as text, without a dependency and without resources from elsewhere. Pure."""

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

COLOURS = ("#2563a8", "#c2571a", "#2e7d4f", "#8b3fa0")
WIDTH, HEIGHT = 460, 240
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 34
ROW, LABEL = 22, 190  # of a bar chart: height of a row, width of its label
TICKS = 5


class Line(NamedTuple):
    label: str
    points: list[tuple[float, float]]


class Bar(NamedTuple):
    label: str
    value: float
    interval: Sequence[float] | None = None


def lines(title: str, x_label: str, series: Sequence[Line]) -> str:
    """Lines over a common x axis; the y axis begins at 0 unless a value is below."""
    points = [point for line in series for point in line.points if math.isfinite(point[1])]
    if not points:
        return ""
    x_low, x_high = min(x for x, _ in points), max(x for x, _ in points)
    y_low, y_high = min(0.0, *(y for _, y in points)), max(y for _, y in points)
    x_span, y_span = (x_high - x_low) or 1.0, (y_high - y_low) or 1.0

    def x_at(x: float) -> float:
        return LEFT + (x - x_low) / x_span * (WIDTH - LEFT - RIGHT)

    def y_at(y: float) -> float:
        return HEIGHT - BOTTOM - (y - y_low) / y_span * (HEIGHT - TOP - BOTTOM)

    parts = []
    for value in (y_low + y_span * i / (TICKS - 1) for i in range(TICKS)):
        at = y_at(value)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" class="grid"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{value:.3g}</text>')
    parts += [
        f'<text x="{x_at(x):.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{x:g}</text>'
        for x in sorted({x for x, _ in points})
    ]
    parts.append(f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 3}" text-anchor="middle">{escape(x_label)}</text>')
    legend = []
    for number, line in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        drawn = [(x_at(x), y_at(y)) for x, y in line.points if math.isfinite(y)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in drawn)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in drawn]
        legend.append(f'<span style="color:{colour}">&#9679; {escape(line.label)}</span>')
    caption = f"{escape(title)}<br>{' '.join(legend)}" if len(series) > 1 else escape(title)
    return _figure(caption, title, WIDTH, HEIGHT, parts)


def bars(title: str, rows: Sequence[Bar]) -> str:
    """Horizontal bars from 0, with their intervals as whiskers."""
    if not rows:
        return ""
    highest = max([bar.value for bar in rows] + [bar.interval[1] for bar in rows if bar.interval]) or 1.0
    scale = (WIDTH - LABEL - 60) / highest
    parts = []
    for number, bar in enumerate(rows):
        middle = number * ROW + ROW / 2
        parts.append(f'<text x="{LABEL - 6}" y="{middle + 4}" text-anchor="end">{escape(bar.label)}</text>')
        parts.append(
            f'<rect x="{LABEL}" y="{middle - 7}" width="{bar.value * scale:.1f}" height="14" fill="{COLOURS[0]}"/>'
        )
        end = bar.value
        if bar.interval:
            low, end = bar.interval
            parts.append(
                f'<line x1="{LABEL + low * scale:.1f}" x2="{LABEL + end * scale:.1f}" y1="{middle}" y2="{middle}" '
                'class="whisker"/>'
            )
        at = LABEL + max(end, bar.value) * scale + 5
        parts.append(f'<text x="{at:.1f}" y="{middle + 4}">{bar.value:.4f}</text>')
    return _figure(escape(title), title, WIDTH, len(rows) * ROW + 4, parts)


def _figure(caption: str, title: str, width: int, height: int, parts: Sequence[str]) -> str:
    return (
        f'<figure><figcaption>{caption}</figcaption><svg viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg></figure>'
    )
