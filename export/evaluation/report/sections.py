"""The sections of the report: plots and small tables of an evaluation, as HTML. Pure."""

from collections.abc import Sequence
from html import escape
from typing import Any

from export.evaluation import perturbation
from export.evaluation.bootstrap import NAMES
from export.evaluation.report.plots import Bar, Line, bars, lines
from export.evaluation.report.text_tables import no_churn

PARTS = {"all": "all events", "warm": "users with history", "cold": "first events of users"}
SCORERS = {"model": "model", "popularity": "popularity", "last_item": "last item's co-occurrence"}
TITLES = {"recall": "Recall", "mrr": "MRR", "ndcg": "NDCG"}
CHURN = ("auc", "count_auc", "brier", "constant_brier", "mean_risk", "churned")
SHOWN = ("recall@5", "recall@10", "recall@20", "mrr@20", "ndcg@20")


def sections(result: dict[str, Any]) -> dict[str, str]:
    """Heading -> HTML of an `evaluation.evaluate_bundle`; empty where there is nothing to show."""
    heads = result["heads"] or {}
    return {
        "Next item": _ranking(result),
        "Compared": _comparison(result),
        "Slices": _slices(result["slices"]),
        "Next action": _action(heads),
        "Time to the next event": _time(heads),
        "Churn": _churn(heads),
        "Disturbed history": _robustness(result["robustness"]),
        "Live and frozen states": _freshness(result["freshness"]),
        "Training": _training(result["training"]),
    }


def _ranking(result: dict[str, Any]) -> str:
    rankings = {"model": result["metrics"], **(result["baselines"] or {})}
    rows = [
        [f"{PARTS[part]}: {SCORERS[by]}", f"{of['n']:,}", *(_number(metrics[part][name]) for name in SHOWN)]
        for part, of in result["metrics"].items()
        for by, metrics in rankings.items()
    ]
    return _table(["events: ranked by", "n", *(_title(name) for name in SHOWN)], rows)


def _comparison(result: dict[str, Any]) -> str:
    compare = result["compare"]
    if not compare:
        return ""
    rows = []
    for part, of in compare["difference"].items():
        for name in NAMES:
            if found := of[name]:
                low, high = found["interval"]
                numbers = [f"{found['difference']:+.4f}", f"{low:+.4f} to {high:+.4f}", f"{found['p']:.3f}"]
                rows.append([f"{PARTS.get(part, 'items known to both')}: {_title(name)}", f"{of['n']:,}", *numbers])
    text = f"<p>{escape(result['bundle_id'])} less {escape(compare['bundle_id'])}, on the same events.</p>"
    return text + _table(["events: metric", "n", "difference", "95%", "p"], rows)


def _slices(groups: dict[str, Any]) -> str:
    figures = []
    for group, labels in groups.items():
        for name in NAMES:
            rows = [Bar(f"{label} (n={of['n']:,})", of[name], of["interval"][name]) for label, of in labels.items()]
            figures.append(bars(f"{_title(name)} by {group}", rows))
    return _figures(figures)


def _action(heads: dict[str, Any]) -> str:
    if not heads:
        return ""
    found = heads["action"]["all"]
    by_action = {name or "unknown": of for name, of in found["by_action"].items()}
    rows = [
        [name, f"{of['n']:,}", *(_number(of[score]) for score in ("precision", "recall", "f1"))]
        for name, of in {**by_action, "macro mean": found}.items()
    ]
    text = (
        f"<p>{found['accuracy']:.1%} of the actions were the one that the model named; always naming the commonest "
        f"would be right for {found['most_frequent']:.1%}.</p>"
    )
    figure = bars("F1 by action", [Bar(f"{name} (n={of['n']:,})", of["f1"]) for name, of in by_action.items()])
    return text + _table(["action", "n", "precision", "recall", "F1"], rows) + _figures([figure])


def _time(heads: dict[str, Any]) -> str:
    if not heads or not heads["time"]["n"]:
        return ""
    found = heads["time"]
    watched = found["watched"]
    rows = [
        ["mean log-likelihood (density per second)", f"{found['log_likelihood']:.3f} nats"],
        ["error of log(1 s + time): MSE, MAE", f"{found['log_mse']:.3f}, {found['log_mae']:.3f}"],
        ["absolute error: mean, median", f"{found['mae_s']:,.1f} s, {found['median_absolute_error_s']:,.1f} s"],
        ["calibration error corrected for the log's end", f"{watched['calibration_error']:.3f}"],
        [
            "raw calibration error, as the monitor counts: times that the log's end cut off are missing",
            f"{found['calibration_error']:.3f}",
        ],
    ]
    tenths = [Bar(f"{n * 10} to {n * 10 + 10}%", share) for n, share in enumerate(watched["deciles"])]
    held = [(float(of.rstrip("%")), 100 * share) for of, share in watched["coverage"].items()]
    return _table(["users with history", f"n={found['n']:,}"], rows) + _figures(
        [
            bars("Share of times in each tenth of their distribution (right: 0.1)", tenths, mark=0.1),
            lines(
                "Times within the central interval, %",
                "% that the interval should hold",
                [Line("the model's", held), Line("right", [(x, x) for x, _ in held])],
            ),
        ]
    )


def _churn(heads: dict[str, Any]) -> str:
    if not heads:
        return ""
    if not heads["churn"]:
        return f"<p>{escape(no_churn(heads))}.</p>"
    rows, figures = [], []
    for horizon, of in heads["churn"].items():
        numbers = [_number(of[name]) for name in CHURN]
        rows.append([horizon, f"{of['n']:,}", *numbers])
        groups = [(row["risk"], row["churned"]) for row in of["reliability"]]
        figures.append(
            lines(
                f"No event within {horizon}: what came of the risk, in tenths of the events",
                "mean risk",
                [Line("share that churned", groups), Line("right", [(risk, risk) for risk, _ in groups])],
            )
        )
    text = (
        "<p>Only events that lie a horizon before the log's end are judged: of later ones the outcome is not known. "
        "Counting: the fewer of the user's events in the last two horizons, the higher the risk.</p>"
    )
    headings = ["horizon", "n", "AUC", "AUC of counting", "Brier", "Brier of a constant", "mean risk", "churned"]
    return text + _table(headings, rows) + _figures(figures)


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
    note = escape((perturbation.__doc__ or "").strip())
    return _figures(figures) + f'<details><summary>How</summary><pre class="note">{note}</pre></details>'


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
        n = older["live"]["n"]
        for name in NAMES if n else ():
            rows = [Bar(text, older[text][name], older[text]["interval"][name]) for text in ("live", "frozen")]
            figures.append(bars(f"{_title(name)}, only events (n={n:,}) with one {lag} earlier", rows))
    return _figures(figures)


def _training(training: dict[str, Any]) -> str:
    epochs = training.get("epochs") or []
    curves = [("loss", "Training loss, nats"), *((name, f"Validation {_title(name)}") for name in NAMES)]
    return _figures(
        [
            lines(
                text,
                "epoch",
                [Line(text, [(number, epoch[name]) for number, epoch in enumerate(epochs, 1)])],
                is_from_zero=False,
            )
            for name, text in curves
            if all(name in epoch for epoch in epochs)
        ]
    )


def _figures(figures: Sequence[str]) -> str:
    drawn = "".join(figures)
    return f'<div class="figures">{drawn}</div>' if drawn else ""


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _title(name: str) -> str:
    metric, cutoff = name.split("@")
    return f"{TITLES[metric]}@{cutoff}"
