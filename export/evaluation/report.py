"""An evaluation as one HTML page that needs nothing else, and its figures as JSON beside it."""

import io
import json
from html import escape
from pathlib import Path
from typing import Any

from rich.console import Console

from export.evaluation import perturbation
from export.evaluation.bootstrap import NAMES
from export.evaluation.leak import warning
from export.evaluation.plots import Bar, Line, bars, lines
from export.evaluation.tables import print_result

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2733; max-width: 1000px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.5em } h2 { font-size: 1.15em; margin-top: 2em; border-bottom: 1px solid #d5dce3 }
pre { font: 12px/1.35 ui-monospace, monospace; overflow-x: auto; background: #f6f8fa; padding: 1em }
figure { display: inline-block; margin: .5em 1em .5em 0; vertical-align: top } figcaption { font-size: 13px }
svg text { font: 11px system-ui, sans-serif; fill: #43515f } .grid { stroke: #e2e7ec }
.whisker { stroke: #1c2733; stroke-width: 1.5 } .leak { color: #fff; background: #b3261e; padding: .8em }
"""


def write_report(result: dict[str, Any], path: Path) -> Path:
    """Write the page to `path` and the object beside it; returns the latter's path."""
    beside = path.with_suffix(".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(result), encoding="utf-8")
    beside.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return beside


def page(result: dict[str, Any]) -> str:
    """The page of an `evaluation.evaluate_bundle`."""
    title = f"Offline evaluation of {result['bundle_id']}"
    leak = warning(result["leak"])
    sections = {
        "Slices": _slices(result["slices"]),
        "Disturbed history": _robustness(result["robustness"]),
        "Live and frozen states": _freshness(result["freshness"]),
        "Training": _training(result["training"]),
        "Tables": f"<pre>{escape(_tables(result))}</pre>",
    }
    history = result["history"]
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><h1>{escape(title)}</h1>",
            f'<p class="leak">{escape(leak)}</p>' if leak else "",
            f"<p>{result['events']:,} events of {result['users']:,} users scored, {history['events']:,} earlier events "
            f"of {history['users']:,} of them stepped first. Each item is ranked among all {result['catalogue']:,} "
            "under the representation before its event, ties against the model; an item outside the catalogue is a "
            "miss. Intervals are 95%, by resampling users.</p>",
            *(f"<h2>{heading}</h2>{content}" for heading, content in sections.items() if content),
            "</body></html>\n",
        ]
    )


def _slices(groups: dict[str, Any]) -> str:
    figures = []
    for group, labels in groups.items():
        for name in NAMES:
            rows = [Bar(f"{label} (n={of['n']:,})", of[name], of["interval"][name]) for label, of in labels.items()]
            figures.append(bars(f"{_title(name)} by {group}", rows))
    return "".join(figures)


def _robustness(curves: dict[str, Any] | None) -> str:
    if not curves or next(iter(curves.values()))["0"][NAMES[0]] is None:
        return ""
    figures = [
        lines(
            _title(name),
            "share of the history disturbed, %",
            [
                Line(kind, [(100 * float(share), of[name]) for share, of in points.items()])
                for kind, points in curves.items()
            ],
        )
        for name in NAMES
    ]
    return "".join(figures) + f"<pre>{escape((perturbation.__doc__ or '').strip())}</pre>"


def _freshness(found: dict[str, Any] | None) -> str:
    if not found or not found["live"]["n"]:
        return ""
    figures = []
    for name in NAMES:
        states = {"live": found["live"]} | {f"{lag} ago": of["all"] for lag, of in found["frozen"].items()}
        rows = [Bar(f"{label} (n={of['n']:,})", of[name], of["interval"][name]) for label, of in states.items()]
        figures.append(bars(f"{_title(name)}, users with history", rows))
    for lag, of in found["frozen"].items():
        older = of["older"]
        if older["live"]["n"]:
            n = older["live"]["n"]
            rows = [Bar(text, older[text][name], older[text]["interval"][name]) for text in ("live", "frozen")]
            figures.append(bars(f"{_title(name)}, only events (n={n:,}) with one {lag} earlier", rows))
    return "".join(figures)


def _training(training: dict[str, Any]) -> str:
    epochs = training.get("epochs") or []
    return "".join(
        lines(text, "epoch", [Line(text, [(number, epoch[name]) for number, epoch in enumerate(epochs, 1)])])
        for name, text in (("loss", "Training loss, nats"), *((n, f"Validation {_title(n)}") for n in NAMES))
        if all(name in epoch for epoch in epochs)
    )


def _tables(result: dict[str, Any]) -> str:
    drawn = io.StringIO()
    print_result(Console(file=drawn, width=140, force_terminal=False, no_color=True), result)
    return drawn.getvalue()


def _title(name: str) -> str:
    return {"recall@20": "Recall@20", "mrr@20": "MRR@20"}[name]
