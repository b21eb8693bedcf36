"""Plots are well-formed, and all shapes lie within the picture."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from export.evaluation.report.plots import Bar, Line, bars, lines, ticks

DRAWN = [
    lines("Two & two", "share", [Line("a<b", [(0, 0.5), (40, 0.1)]), Line("c", [(0, 0.5), (20, float("nan"))])]),
    lines("one point", "epoch", [Line("loss", [(1, 0.0)])]),
    lines("below zero", "epoch", [Line("x", [(1, -2.0), (2, -1.0)])]),
    bars("Bars", [Bar("all", 0.25, [0.2, 0.5]), Bar("none", 0.0, [0.0, 0.0]), Bar("bare", 0.5)]),
    bars("nothing found", [Bar("all", 0.0)]),
    bars("Marked", [Bar("all", 0.25), Bar("a label that is far too long to stand beside its bar", 0.1)], mark=0.4),
    lines("not from zero", "epoch", [Line("x", [(1, 7.3), (2, 6.1)])], is_from_zero=False),
]


@pytest.mark.parametrize("figure", DRAWN)
def test_a_plot_is_well_formed_and_within_its_frame(figure: str) -> None:
    svg = ElementTree.fromstring(re.search(r"<svg.*</svg>", figure)[0])
    width, height = (float(svg.attrib[name]) for name in ("width", "height"))
    for shape in svg.iter():
        at = shape.attrib
        xs = [float(at[name]) for name in ("x", "x1", "x2", "cx") if name in at]
        ys = [float(at[name]) for name in ("y", "y1", "y2", "cy") if name in at]
        for x, y in (point.split(",") for point in at.get("points", "").split()):
            xs, ys = [*xs, float(x)], [*ys, float(y)]
        if shape.tag == "rect":
            xs.append(float(at["x"]) + float(at["width"]))
        assert all(0 <= x <= width for x in xs), (shape.tag, at)
        assert all(0 <= y <= height for y in ys), (shape.tag, at)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.5, 1]), (0, 0.33, [0, 0.1, 0.2, 0.3, 0.4]), (1, 7, [0, 2, 4, 6, 8]), (-2, -1, [-2, -1.5, -1])],
)
def test_ticks_are_round_numbers_around_the_values(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_bars_and_lines_are_drawn_to_scale() -> None:
    widths = [float(w) for w in re.findall(r'<rect [^>]*width="([\d.]+)"', bars("b", [Bar("a", 0.1), Bar("b", 0.4)]))]
    assert widths[1] == pytest.approx(4 * widths[0], abs=0.3)
    drawn = lines("l", "x", [Line("a", [(0, 0.0), (1, 0.5), (2, 1.0)])])
    points = re.search(r'points="([^"]+)"', drawn)[1].split()
    steps = [
        (float(b.split(",")[0]) - float(a.split(",")[0]), float(b.split(",")[1]) - float(a.split(",")[1]))
        for a, b in pairwise(points)
    ]
    assert steps[0] == pytest.approx(steps[1], abs=0.2)
    assert steps[0][1] < 0  # the line rises


def test_names_from_a_log_are_escaped() -> None:
    drawn = bars("<b>", [Bar('</text><script>"', 0.5)])
    assert "<script>" not in drawn
    assert lines("nothing", "x", [Line("a", [(0, float("nan"))])]) == bars("nothing", []) == ""
