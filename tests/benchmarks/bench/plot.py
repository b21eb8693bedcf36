"""Draws the result as an SVG picture: a bar of events/s for each contender."""

from collections.abc import Mapping
from html import escape

WIDTH, ROW, LABEL, VALUE = 640, 30, 190, 80
OWN, OTHER, TEXT = "#0b7285", "#adb5bd", "#868e96"  # colours that are readable on white and on black


def svg(events_per_s: Mapping[str, float], names: Mapping[str, str]) -> str:
    """Return horizontal bars, the fastest first. `names` gives the label of each bar."""
    ordered = sorted(events_per_s.items(), key=lambda pair: -pair[1])
    scale = (WIDTH - LABEL - VALUE) / max(events_per_s.values())
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {ROW * len(ordered)}" role="img" '
        'font-family="system-ui, sans-serif" font-size="13"><title>Events per second, the whole job</title>'
    ]
    for number, (name, value) in enumerate(ordered):
        top, length = number * ROW, value * scale
        colour, shown = OWN if name.startswith("thalweg") else OTHER, escape(names.get(name, name))
        parts += [
            f'<text x="{LABEL - 8}" y="{top + 19}" text-anchor="end" fill="{TEXT}">{shown}</text>',
            f'<rect x="{LABEL}" y="{top + 6}" width="{length:.1f}" height="18" rx="2" fill="{colour}"/>',
            f'<text x="{LABEL + length + 6:.1f}" y="{top + 19}" fill="{TEXT}">{value:,.0f}</text>',
        ]
    return "\n".join([*parts, "</svg>\n"])
