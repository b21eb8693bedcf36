"""The sections of the report: plots and small tables of an evaluation, as HTML. This module is pure."""

from collections.abc import Sequence
from html import escape
from typing import Any

from export.evaluation.bootstrap import NAMES
from export.evaluation.perturbation import METHOD
from export.evaluation.report.plots import Bar, Line, bars, lines
from export.evaluation.report.text_tables import (
    HIT_SCORES,
    SCORERS,
    action_text,
    calibration_text,
    hit_rows,
    list_rows,
    lists_title,
    no_churn_text,
    user_cells,
)

PARTS = {"all": "all events", "warm": "users with history", "cold": "first events of users"}
TITLES = {"recall": "Recall", "mrr": "MRR", "ndcg": "NDCG", "precision": "Precision", "f1": "F1"}
DRAWN_ACTIONS = 6  # the most frequent ones, whose reliability is drawn
ACTION = ("precision", "recall", "f1", "share", "average_precision", "auc")
CHURN = ("auc", "count_auc", "brier", "constant_brier", "mean_risk", "churned")
RANKING = ("recall@5", "recall@10", "recall@20", "mrr@20", "ndcg@20")


def sections(result: dict[str, Any]) -> dict[str, str]:
    """Heading -> HTML of the result of `bundle_evaluation.evaluate_bundle`, empty where there is nothing to show."""
    heads = result["heads"] or {}
    return {
        "Next item": _ranking(result),
        "Recommended lists": _lists(result),
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
    rankings = {"model": result["metrics"], "masked": result["masked"], **(result["baselines"] or {})}
    rows = [
        [f"{PARTS[part]}: {SCORERS[scorer]}", f"{model['n']:,}", *(_number(metrics[part][name]) for name in RANKING)]
        for part, model in result["metrics"].items()
        for scorer, metrics in rankings.items()
    ]
    text = (
        "<p>Own items are those that the user had before. Masked, they leave the ranking, except for the actual item."
        "</p>"
    )
    return text + _table(["events: ranked by", "n", *(_title(name) for name in RANKING)], rows)


def _lists(result: dict[str, Any]) -> str:
    lists, calibration = result["lists"], result["calibration"]
    groups = [(row["probability"], row["came"]) for row in calibration["known"]["reliability"]]
    figure = lines(
        "Items in the top 20, before events with a known item: the share that came by the softmax, in tenths",
        "mean probability",
        [Line("share that came", groups), Line("ideal", [(probability, probability) for probability, _ in groups])],
    )
    return (
        f"<p>{escape(lists_title(lists))}.</p>"
        + _table(["lists", "recommended items", "actual items"], list_rows(lists))
        + _table(["relevant", "n", *(_title(name) for name in HIT_SCORES)], hit_rows(result))
        + f"<p>{escape(calibration_text(calibration))}.</p>"
        + _figures([figure])
    )


def _comparison(result: dict[str, Any]) -> str:
    compare = result["compare"]
    if not compare:
        return ""
    rows = []
    for part, differences in compare["difference"].items():
        for name in NAMES:
            if found := differences[name]:
                low, high = found["interval"]
                numbers = [f"{found['difference']:+.4f}", f"{low:+.4f} to {high:+.4f}", f"{found['p']:.3f}"]
                label = f"{PARTS.get(part, 'items known to both')}: {_title(name)}"
                by_user = compare["by_user"][part][name]
                numbers += [f"{by_user['users']:,}", *user_cells(by_user)]
                rows.append([label, f"{differences['n']:,}", *numbers])
    text = (
        f"<p>{escape(result['bundle_id'])} minus {escape(compare['bundle_id'])}, on the same events. The last interval "
        "is that of a confidence sequence over users, which holds at every look.</p>"
    )
    headings = ["events: metric", "n", "difference", "95%", "p", "users", "mean over users", "95% at every look"]
    return text + _table(headings, rows)


def _slices(groups: dict[str, Any]) -> str:
    return _figures(
        [bars(f"{_title(name)} by {group}", _bars(labels, name)) for group, labels in groups.items() for name in NAMES]
    )


def _action(heads: dict[str, Any]) -> str:
    if not heads:
        return ""
    action = heads["action"]["all"]
    by_action = {name or "unknown": scores for name, scores in action["by_action"].items()}
    rows = [
        [name, f"{scores['n']:,}", *(_number(scores.get(score)) for score in ACTION)]
        for name, scores in {**by_action, "macro mean": action}.items()
    ]
    text = (
        f"<p>{escape(action_text(action))}.</p><p>The skill is 0 for constant probabilities, and 1 for certainty about "
        "what happened. The average precision (AP) of a prediction without skill is the share of the action, and its "
        "AUC is a half.</p>"
    )
    figures = [
        bars("F1 by action", [Bar(f"{name} (n={scores['n']:,})", scores["f1"]) for name, scores in by_action.items()])
    ]
    frequent = sorted(by_action.items(), key=lambda named: -named[1]["n"])[:DRAWN_ACTIONS]
    for name, scores in frequent:
        groups = [(row["probability"], row["occurred"]) for row in scores["reliability"]]
        figures.append(
            lines(
                f"{name}: the share that happened by predicted probability, in tenths of the events",
                "mean probability",
                [Line("share that happened", groups), Line("ideal", [(chance, chance) for chance, _ in groups])],
            )
        )
    headings = ["action", "n", "precision", "recall", "F1", "share", "AP", "AUC"]
    return text + _table(headings, rows) + _figures(figures)


def _time(heads: dict[str, Any]) -> str:
    if not heads or not heads["time"]["n"]:
        return ""
    time = heads["time"]
    watched = time["watched"]
    rows = [
        ["mean log-likelihood (density per second)", f"{time['log_likelihood']:.3f} nats"],
        ["error of log(1 s + time): MSE, MAE", f"{time['log_mse']:.3f}, {time['log_mae']:.3f}"],
        ["absolute error: mean, median", f"{time['mae_s']:,.1f} s, {time['median_absolute_error_s']:,.1f} s"],
        ["calibration error corrected for the log's end", f"{watched['calibration_error']:.3f}"],
        [
            "raw calibration error, as the monitor counts it, without times that the log's end cut off",
            f"{time['calibration_error']:.3f}",
        ],
    ]
    tenths = [Bar(f"{n * 10} to {n * 10 + 10}%", share) for n, share in enumerate(watched["deciles"])]
    coverage = [(float(interval.rstrip("%")), 100 * share) for interval, share in watched["coverage"].items()]
    return _table(["users with history", f"n={time['n']:,}"], rows) + _figures(
        [
            bars("Share of times in each tenth of their distribution (ideal: 0.1)", tenths, mark=0.1),
            lines(
                "Times within the central interval, %",
                "% that the interval should contain",
                [Line("the model", coverage), Line("ideal", [(x, x) for x, _ in coverage])],
            ),
        ]
    )


def _churn(heads: dict[str, Any]) -> str:
    if not heads:
        return ""
    if not heads["churn"]:
        return f"<p>{escape(no_churn_text(heads))}.</p>"
    rows, figures = [], []
    for horizon, churn in heads["churn"].items():
        rows.append([horizon, f"{churn['n']:,}", *(_number(churn[name]) for name in CHURN)])
        groups = [(row["risk"], row["churned"]) for row in churn["reliability"]]
        figures.append(
            lines(
                f"No event within {horizon}: the share that churned by predicted risk, in tenths of the events",
                "mean risk",
                [Line("share that churned", groups), Line("ideal", [(risk, risk) for risk, _ in groups])],
            )
        )
    text = (
        "<p>Only events at least a horizon before the log's end are judged, because the outcome of later events is not "
        "known. The baseline counts the user's events in the last two horizons: few events mean a high risk.</p>"
    )
    headings = ["horizon", "n", "AUC", "AUC of counting", "Brier", "Brier of a constant", "mean risk", "churned"]
    return text + _table(headings, rows) + _figures(figures)


def _robustness(curves: dict[str, Any] | None) -> str:
    if not curves or next(iter(curves.values()))["0"][NAMES[0]] is None:
        return ""
    figures = [
        lines(
            _title(name),
            "share of the history that is disturbed, %",
            [
                Line(kind, [(100 * float(share), metrics[name]) for share, metrics in points.items()])
                for kind, points in curves.items()
            ],
        )
        for name in NAMES
    ]
    note = f'<details><summary>Method</summary><pre class="note">{escape(METHOD)}</pre></details>'
    return _figures(figures) + note


def _freshness(freshness: dict[str, Any] | None) -> str:
    if not freshness or not freshness["live"]["n"]:
        return ""
    states = {"live": freshness["live"]} | {f"{lag} ago": lagged["all"] for lag, lagged in freshness["frozen"].items()}
    figures = [bars(f"{_title(name)}, users with history", _bars(states, name)) for name in NAMES]
    for lag, lagged in freshness["frozen"].items():
        older = {name: lagged["older"][name] for name in ("live", "frozen")}
        n = older["live"]["n"]
        for name in NAMES if n else ():
            rows = [Bar(label, metrics[name], metrics["interval"][name]) for label, metrics in older.items()]
            figures.append(bars(f"{_title(name)}, only events (n={n:,}) with an event {lag} earlier", rows))
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


def _bars(summaries: dict[str, Any], name: str) -> list[Bar]:
    """One bar with its interval for each summary: label -> `slices.summary`."""
    return [
        Bar(f"{label} (n={metrics['n']:,})", metrics[name], metrics["interval"][name])
        for label, metrics in summaries.items()
    ]


def _figures(figures: Sequence[str]) -> str:
    html = "".join(figures)
    return f'<div class="figures">{html}</div>' if html else ""


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _title(name: str) -> str:
    """The title of a metric such as `recall@20`."""
    metric, cutoff = name.split("@")
    return f"{TITLES[metric]}@{cutoff}"
