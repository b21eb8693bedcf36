"""The HTML page of an evaluation, which loads nothing from elsewhere, and a JSON file with the same figures."""

import io
import json
from html import escape
from pathlib import Path
from typing import Any

from rich.console import Console

from encoder.metrics.hybrid.scores import WEIGHTS
from encoder.metrics.leakage import leak_warnings
from export.evaluation.report.scenario_tables import print_scenarios
from export.evaluation.report.sections import sections
from export.evaluation.report.text_tables import print_result
from export.evaluation.report.weight_texts import weight_texts

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --panel: #f6f8fa; --text: #1c2733; --soft: #5b6977; --rule: #d9e0e6;
  --ink-1: #2563a8; --ink-2: #c2571a; --ink-3: #2e7d4f; --ink-4: #8b3fa0 }
@media (prefers-color-scheme: dark) { :root { --paper: #12181f; --panel: #1b232c; --text: #e4eaf0; --soft: #9aa8b5;
  --rule: #313c47; --ink-1: #6aa9ea; --ink-2: #f0955a; --ink-3: #67c08b; --ink-4: #c78bdb } }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; color: var(--text);
  background: var(--paper); max-width: 1040px; margin: 0 auto; padding: 2em 1em 4em; overflow-wrap: anywhere }
h1 { font-size: 1.6em; line-height: 1.2; margin: 0 0 .4em }
h2 { font-size: 1.2em; margin: 2.4em 0 .6em; padding-bottom: .3em; border-bottom: 1px solid var(--rule) }
p, figcaption small { color: var(--soft) } p { max-width: 75ch } small { font-weight: normal; display: block }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: .8em; margin: 1.4em 0 }
.card { background: var(--panel); border-radius: 8px; padding: .8em 1em } .card b { display: block; font-size: 1.7em }
.card span { color: var(--soft); font-size: .85em }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 1.2em 2em;
  align-items: start }
figure { margin: 0; min-width: 0 } figcaption { font-size: .9em; font-weight: 600; margin-bottom: .3em }
svg { display: block; width: 100%; height: auto; max-width: 520px }
svg text { font: 11px system-ui, Arial, sans-serif; fill: var(--soft) }
.grid { stroke: var(--rule) } .whisker { stroke: var(--text); stroke-width: 1.5 }
.mark { stroke: var(--soft); stroke-dasharray: 4 3 } .line { stroke-width: 2 }
.ink-1 { color: var(--ink-1); fill: var(--ink-1); stroke: var(--ink-1) }
.ink-2 { color: var(--ink-2); fill: var(--ink-2); stroke: var(--ink-2) }
.ink-3 { color: var(--ink-3); fill: var(--ink-3); stroke: var(--ink-3) }
.ink-4 { color: var(--ink-4); fill: var(--ink-4); stroke: var(--ink-4) }
polyline.line { fill: none } rect { stroke: none !important }
.wide { overflow-x: auto } table { border-collapse: collapse; font-size: .92em; margin: .6em 0; white-space: nowrap }
th, td { padding: .3em .8em .3em 0; border-bottom: 1px solid var(--rule); text-align: right }
th { font-weight: 600 } th:first-child, td:first-child { text-align: left }
td:first-child { white-space: normal; min-width: 9em }
pre { font: 12px/1.35 ui-monospace, Menlo, Consolas, monospace; overflow-x: auto; background: var(--panel);
  padding: 1em; border-radius: 8px } details > summary { cursor: pointer; color: var(--soft) }
pre.note { white-space: pre-wrap } .leak { color: #fff; background: #b3261e; padding: .8em; border-radius: 8px }
"""
# With this policy, a browser loads and runs nothing, whatever the names in a log contain.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def write_report(result: dict[str, Any], path: Path) -> Path:
    """Write the page to `path`, and the result as JSON beside it. Returns the path of the JSON file."""
    json_path = path.with_suffix(".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(result), encoding="utf-8")
    json_path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return json_path


def page(result: dict[str, Any]) -> str:
    """The page of the result of `bundle_evaluation.evaluate_bundle`."""
    title = f"Offline evaluation of {result['bundle_id']}"
    history = result["history"]
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><h1>{escape(title)}</h1>",
            *(f'<p class="leak">{escape(text)}</p>' for text in leak_warnings(result)),
            f"<p>{_scored_text(result)} Before, {history['events']:,} "
            f"earlier events of {history['users']:,} of these users are stepped. Each item is ranked among all "
            f"{result['catalogue']:,} items under the representation before its event. Ties count against the model, "
            "and an item outside the catalogue is a miss. Intervals are 95% intervals by resampling users.</p>",
            _cards(result),
            *(f"<h2>{heading}</h2>{content}" for heading, content in sections(result).items() if content),
            "<h2>All figures</h2><details><summary>as tables of text</summary>"
            f"<pre>{escape(_text_tables(result))}</pre></details></body></html>\n",
        ]
    )


def _scored_text(result: dict[str, Any]) -> str:
    if result["scored"] == "last":
        return f"The last event of each of {result['users']:,} users is scored."
    return f"{result['events']:,} events of {result['users']:,} users are scored."


def _cards(result: dict[str, Any]) -> str:
    """The most important figures."""
    warm, heads = result["metrics"]["warm"], result["heads"]
    cards: list[tuple[str, str, str]] = []
    for name, text in (("recall@20", "Recall@20"), ("mrr@20", "MRR@20")):
        if warm[name] is not None:
            low, high = warm["interval"][name]
            cards.append((f"{warm[name]:.3f}", text, f"users with history, 95%: {low:.3f} to {high:.3f}"))
    if result["baselines"] and warm["recall@20"] is not None:
        best = max(metrics["warm"]["recall@20"] for metrics in result["baselines"].values())
        cards.append((f"{best:.3f}", "Recall@20 of the best baseline", "counted in the history"))
    if heads:
        action, time = heads["action"]["all"], heads["time"]
        cards.append((f"{action['accuracy']:.1%}", "next actions right", f"commonest: {action['most_frequent']:.1%}"))
        if time["n"]:
            error_s = time["median_absolute_error_s"]
            cards.append((_duration(error_s), "median error of the time", "to a user's next event"))
        for horizon, churn in list(heads["churn"].items())[-1:]:
            if churn["auc"] is not None:
                note = f"by counting: {churn['count_auc']:.3f}"
                cards.append((f"{churn['auc']:.3f}", f"AUC of churn, {horizon}", note))
    html = (f'<div class="card"><b>{value}</b>{text}<br><span>{note}</span></div>' for value, text, note in cards)
    return f'<div class="cards">{"".join(html)}</div>'


def _duration(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def _text_tables(result: dict[str, Any]) -> str:
    text = io.StringIO()
    console = Console(file=text, width=170, force_terminal=False, no_color=True)
    print_result(console, result)
    if result["scenarios"] is not None:
        print_scenarios(console, result["scenarios"])
        weights = {name: result["scenarios"][name]["weights"] for name in WEIGHTS}
        for line in weight_texts(weights, result["training"]["metrics"]):
            console.print(line, soft_wrap=True)
    return text.getvalue()
