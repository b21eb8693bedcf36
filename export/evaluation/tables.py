"""An evaluation on the terminal."""

from typing import Any

from rich.console import Console
from rich.table import Table

from export.evaluation.bootstrap import NAMES

PARTS = {"all": "all", "warm": "with history", "cold": "first of a user"}


def print_result(console: Console, result: dict[str, Any]) -> None:
    console.print(_metrics(result))
    console.print(_slices(result))
    lists = result["lists"]
    recommended, actual = lists["percentile_recommended"], lists["percentile_actual"]
    console.print(
        f"top 20 of {lists['lists']:,} events: coverage {number(lists['coverage'])} of the catalogue, popularity "
        f"percentile {number(recommended)} (actual items {number(actual)})"
        + (
            ""
            if lists["arp_recommended"] is None
            else f", mean events of an item {number(lists['arp_recommended'], 1)} ({number(lists['arp_actual'], 1)})"
        ),
        soft_wrap=True,
    )
    if result["compare"]:
        console.print(_comparison(result))
    if result["robustness"]:
        console.print(_robustness(result["robustness"]))
    if result["freshness"]:
        console.print(_freshness(result["freshness"]))


def number(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def interval(bounds: list[float] | None) -> str:
    return "-" if bounds is None else f"{bounds[0]:.4f} to {bounds[1]:.4f}"


def _metrics(result: dict[str, Any]) -> Table:
    table = Table(title=f"{result['bundle_id']}: the next item among {result['catalogue']:,}, ties against the model")
    names = [f"{metric}@{k}" for metric in ("recall", "mrr", "ndcg") for k in (5, 10, 20)]
    for heading in ("events", "ranked by"):
        table.add_column(heading)
    for heading in ["n", *names]:
        table.add_column(heading, justify="right")
    rankings = {"model": result["metrics"], **(result["baselines"] or {})}
    for part, text in PARTS.items():
        for by, metrics in rankings.items():
            of = metrics[part]
            table.add_row(text, by, f"{of['n']:,}", *(number(of[name]) for name in names))
    return table


def _slices(result: dict[str, Any]) -> Table:
    table = Table(title="Slices, with 95% intervals by resampling users")
    for heading in ("slice", ""):
        table.add_column(heading)
    for heading in ("n", "users", *(text for name in NAMES for text in (name, "95%"))):
        table.add_column(heading, justify="right")
    for group, labels in result["slices"].items():
        for position, (label, of) in enumerate(labels.items()):
            cells = [text for name in NAMES for text in (number(of[name]), interval(of["interval"][name]))]
            table.add_row("" if position else group, label, f"{of['n']:,}", f"{of['users']:,}", *cells)
    return table


def _comparison(result: dict[str, Any]) -> Table:
    compare = result["compare"]
    table = Table(title=f"{result['bundle_id']} less {compare['bundle_id']} ({compare['catalogue']:,} items)")
    table.add_column("events")
    for heading in ("n", *(text for name in NAMES for text in (name, "95%", "p"))):
        table.add_column(heading, justify="right")
    for part, of in compare["difference"].items():
        table.add_row(part.replace("_", " "), f"{of['n']:,}", *_difference(of))
    return table


def _difference(of: dict[str, Any]) -> list[str]:
    cells: list[str] = []
    for name in NAMES:
        found = of[name]
        cells += ["-"] * 3 if found is None else [
            f"{found['difference']:+.4f}",
            interval(found["interval"]),
            f"{found['p']:.3f}",
        ]  # fmt: skip
    return cells


def _robustness(curves: dict[str, Any]) -> Table:
    table = Table(title="Recall@20 / MRR@20 of users with history, with a share of the history disturbed")
    table.add_column("history")
    shares = list(next(iter(curves.values())))
    for share in shares:
        table.add_column("clean" if share == "0" else f"{float(share):.0%}", justify="right")
    for kind, points in curves.items():
        table.add_row(kind, *(" / ".join(number(points[share][name]) for name in NAMES) for share in shares))
    return table


def _freshness(found: dict[str, Any]) -> Table:
    table = Table(title="Users with history: the live state and frozen ones; gain = live less frozen")
    for heading in ("state", "events"):
        table.add_column(heading)
    for heading in ("n", *NAMES, *(text for name in NAMES for text in (f"gain {name}", "95%", "p"))):
        table.add_column(heading, justify="right")

    def add(state: str, events: str, of: dict[str, Any], gain: list[str]) -> None:
        table.add_row(state, events, f"{of['n']:,}", *(number(of[name]) for name in NAMES), *gain)

    add("live", "all", found["live"], [""] * 6)
    for lag, of in found["frozen"].items():
        add(f"{lag} ago", "all", of["all"], _difference(of["gain"]))
        add("", "with an event so old", of["older"]["frozen"], _difference(of["older"]["gain"]))
    return table
