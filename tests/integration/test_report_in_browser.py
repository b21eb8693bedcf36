"""The report of an evaluation in a real browser, which shows what a reader sees."""

import html
import json
import re
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from encoder.data.event_log import EventLog
from export.evaluation.bundle_evaluation import evaluate_bundle
from export.evaluation.report.page import page
from tests.support.bundles import tiny_bundle
from tests.support.logs import event_log
from tests.tools.browser import CHROMIUM, REASON, needs_browser

HOSTILE = "</text><script>document.title = 'run'</script>"
DESKTOP, PHONE = 1280, 390  # CSS pixels
# This script stands before the page's own policy, which forbids scripts. It inspects the page when the layout is done.
INSPECTION = """<script>
const errors = [];
addEventListener("error", event => errors.push(String(event.message || event.target.outerHTML)), true);
document.addEventListener("securitypolicyviolation", event => errors.push("blocked " + event.blockedURI));
addEventListener("load", () => setTimeout(() => {
  const box = element => { const b = element.getBoundingClientRect(); return [b.left, b.right, b.width, b.height]; };
  const of = (selector, property) => getComputedStyle(document.querySelector(selector))[property];
  parent.postMessage(JSON.stringify({
    errors, title: document.title, requests: performance.getEntriesByType("resource").map(entry => entry.name),
    width: innerWidth, scrolls: document.documentElement.scrollWidth,
    plots: [...document.querySelectorAll("svg")].map(svg => {
      const drawn = svg.getBBox();
      return { title: svg.getAttribute("aria-label"), box: box(svg), drawn: [drawn.width, drawn.height],
        shapes: svg.querySelectorAll("rect, polyline").length };
    }),
    headings: [...document.querySelectorAll("h2")].map(heading => heading.textContent),
    colours: { paper: of("body", "backgroundColor"), text: of("body", "color"), soft: of("p:not(.leak)", "color"),
      label: of("svg text", "fill"), bar: of("svg rect", "fill"), line: of("polyline", "stroke") },
  }), "*");
}));
</script>"""
FRAME = """<!doctype html><body><script>
addEventListener("message", event => document.body.setAttribute("data-found", event.data));
</script><iframe src="page.html" style="border: 0" width="{width}" height="4000"></iframe></body>"""

pytestmark = needs_browser


def log_of_ten_weeks(events: int = 900) -> EventLog:
    draw = np.random.default_rng(0)
    times_ms = 10**12 + np.sort(draw.integers(0, 70 * 86_400_000, events))
    names = ["view", "cart", "wave"]
    return event_log(
        [(f"u{draw.integers(40)}", f"item-{draw.integers(1, 66)}", str(draw.choice(names)), int(t)) for t in times_ms]
    )


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("bundles")
    bundle, other = (tiny_bundle(folder / str(seed), items=60, width=16, seed=seed) for seed in (0, 1))
    history, log = log_of_ten_weeks().split(0.2)
    result = evaluate_bundle(bundle, log, history, compare=other, is_robustness_wanted=True, is_freshness_wanted=True)
    epochs = [{"loss": 7.0 - n / 2, "recall@20": 0.2 + n / 50, "mrr@20": 0.1 + n / 100} for n in range(7)]
    result["slices"]["action"][HOSTILE] = result["slices"]["action"].pop("view")
    return page({**result, "training": {"epochs": epochs}})


def browse(*arguments: str) -> str:
    if CHROMIUM is None:
        pytest.fail(REASON)
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def scheme(name: str) -> str:
    return f"--blink-settings=preferredColorScheme={ {'dark': 0, 'light': 1}[name] }"


def inspect(text: str, folder: Path, width: int, colours: str = "light") -> Any:
    """Show the page in a window of this width and return what INSPECTION finds."""
    assert text.count("<head>") == 1
    (folder / "page.html").write_text(text.replace("<head>", "<head>" + INSPECTION), encoding="utf-8")
    (folder / "frame.html").write_text(FRAME.format(width=width), encoding="utf-8")
    window = f"--window-size={width + 100},4100"
    dom = browse("--dump-dom", "--virtual-time-budget=5000", window, scheme(colours), (folder / "frame.html").as_uri())
    found = re.search(r'data-found="([^"]*)"', dom)
    assert found, dom
    return json.loads(html.unescape(found[1]))


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_every_plot_is_drawn_within_the_window(report: str, tmp_path: Path, width: int) -> None:
    found = inspect(report, tmp_path, width)
    assert found["width"] == width
    assert found["scrolls"] <= width, "the page is wider than the window"
    assert found["errors"] == found["requests"] == []
    assert found["title"].startswith("Offline evaluation of")
    assert {"Next action", "Time to the next event", "Churn", "Training"} <= set(found["headings"])
    titles = [plot["title"] for plot in found["plots"]]
    for title in ("Recall@20 by user", "F1 by action", "Training loss, nats", "Validation MRR@20"):
        assert title in titles
    assert sum("No event within" in title for title in titles) == 3
    for plot in found["plots"]:
        left, right, box_width, box_height = plot["box"]
        assert 0 <= left < right <= width, plot
        assert box_width > 300, plot
        assert box_height > 20, plot
        assert min(plot["drawn"]) > 10, plot
        assert plot["shapes"] > 0, plot


def luminance(colour: str) -> float:
    """Return the relative luminance of the colour "rgb(r, g, b)" (WCAG 2.2)."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_text_and_plots_have_enough_contrast_with_the_background(report: str, tmp_path: Path, colours: str) -> None:
    found = inspect(report, tmp_path, DESKTOP, colours)["colours"]
    paper = luminance(found.pop("paper"))
    assert (paper < 0.1) == (colours == "dark")
    for name, colour in found.items():
        low, high = sorted([paper, luminance(colour)])
        contrast = (high + 0.05) / (low + 0.05)
        assert contrast >= (3 if name in ("bar", "line") else 4.5), (name, contrast)


def test_the_page_loads_nothing_and_runs_no_script_whatever_its_text(report: str, tmp_path: Path) -> None:
    assert HOSTILE not in report
    assert html.escape(HOSTILE[:15]) in report
    broken = report.replace("</h1>", f'</h1><img src="http://127.0.0.1:9/x.png">{HOSTILE}')
    found = inspect(broken, tmp_path, DESKTOP)
    assert any("127.0.0.1:9" in error for error in found["errors"])
    assert found["title"] != "run"


def test_a_screenshot_shows_the_page(report: str, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(report, encoding="utf-8")
    (tmp_path / "blank.html").write_text("<!doctype html><body></body>", encoding="utf-8")
    pictures = {}
    for name in ("page", "blank"):
        picture = tmp_path / f"{name}.png"
        browse(f"--window-size={DESKTOP},900", f"--screenshot={picture}", (tmp_path / f"{name}.html").as_uri())
        pictures[name] = picture.read_bytes()
        assert struct.unpack(">II", pictures[name][16:24]) == (DESKTOP, 900)
    assert len(pictures["page"]) > 10 * len(pictures["blank"])
