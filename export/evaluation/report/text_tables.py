"""The tables of an evaluation as text, for the terminal and for the end of the report's page."""

import math
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from encoder.console import print_table
from encoder.metrics.baselines import BASELINES
from encoder.metrics.churn import CHURN_DAYS
from encoder.metrics.next_time import calibration_errors_text
from export.evaluation.bootstrap import NAMES

ALL_RANKING = tuple(f"{metric}@{k}" for metric in ("recall", "mrr", "ndcg") for k in (5, 10, 20))
NARROW_RANKING = ("recall@10", "recall@20", "mrr@20", "ndcg@20")
SCORERS = {"model": "model", "masked": "model, own items masked", **BASELINES}
LIST_FIGURES = {  # key before _recommended and _actual -> text, digits
    "percentile": ("popularity percentile", 4),
    "arp": ("events of an item", 1),
    "novelty": ("novelty: self-information, bits", 2),
}
HEAD_SCORES = {"action_accuracy": "action accuracy", "time_log_likelihood": "time log likelihood"}
HIT_SCORES = ("precision@20", "recall@20", "f1@20")
ACTION_SCORES = ("precision", "recall", "f1", "share", "average_precision", "auc")
WIDE = 120  # columns of a terminal that has room for ALL_RANKING


def print_result(console: Console, result: dict[str, Any]) -> None:
    """Print the result of `bundle_evaluation.evaluate_bundle`, with fewer metrics where the console is narrow."""
    print_table(console, _metrics(result, ALL_RANKING if console.width >= WIDE else NARROW_RANKING))
    print_table(console, _slices(result["slices"], is_wide=console.width >= WIDE))
    for table in (_lists(result), _hits(result), _calibration(result)):
        print_table(console, table)
    console.print(calibration_text(result["calibration"]), soft_wrap=True, highlight=False)
    if result["heads"]:
        print_heads(console, result["heads"])
    if result["compare"]:
        print_table(console, _comparison(result))
        print_table(console, _comparison_by_user(result["compare"]["by_user"]))
    if result["robustness"]:
        print_table(console, _robustness(result["robustness"]))
    if result["freshness"]:
        print_table(console, _freshness(result["freshness"]))


def _number(value: float | None, digits: int = 4) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _table(title: str, texts: list[str], numbers: list[str]) -> Table:
    """A table with columns of texts and columns of numbers under these headings."""
    table = Table(title=title, box=SIMPLE, padding=(0, 1, 0, 0))
    for heading in texts:
        table.add_column(heading)
    for heading in numbers:
        table.add_column(heading, justify="right")
    return table


def _metrics(result: dict[str, Any], names: tuple[str, ...]) -> Table:
    title = f"{result['bundle_id']}: the next item among {result['catalogue']:,}, ties against the ranking"
    table = _table(title, ["events", "ranked by"], ["n", *names])
    rankings = {"model": result["metrics"], "masked": result["masked"], **(result["baselines"] or {})}
    for part in result["metrics"]:
        for scorer, parts in rankings.items():
            metrics = parts[part]
            table.add_row(part, SCORERS[scorer], f"{metrics['n']:,}", *(_number(metrics[name]) for name in names))
    return table


def _slices(slices: dict[str, Any], *, is_wide: bool) -> Table:
    """A table with a row for each slice. A narrow table leaves out the intervals of all but one metric."""
    first = next(iter(next(iter(slices.values())).values()))
    shown = {name: text for name, text in HEAD_SCORES.items() if is_wide and name in first}
    has_popularity = is_wide and "popularity" in first
    ranged = NAMES if is_wide else NAMES[-1:]
    headings = ["n"]
    for name in NAMES:
        headings += [name, "95%"] if name in ranged else [name]
    headings += ["ndcg@20"] * is_wide + [f"popularity {NAMES[0]}"] * has_popularity + list(shown.values())
    table = _table("Slices, with 95% intervals by resampling users", ["slice"], headings)
    for group, labels in slices.items():
        table.add_row(group, style="bold")
        for label, metrics in labels.items():
            cells = [f"{metrics['n']:,}"]
            for name in NAMES:
                cells.append(_number(metrics[name]))
                cells += [_range(metrics["interval"][name])] if name in ranged else []
            cells += [_number(metrics["ndcg@20"])] if is_wide else []
            cells += [_number(metrics["popularity"][NAMES[0]])] if has_popularity else []
            table.add_row(f"  {escape(label)}", *cells, *(_number(metrics[name]) for name in shown))
    return table


def _range(interval: list[float] | None, form: str = ".4f") -> str:
    return "-" if interval is None else f"{interval[0]:{form}} {interval[1]:{form}}"


def lists_title(lists: dict[str, Any]) -> str:
    """Which lists were computed."""
    drawn = f", drawn from {lists['events']:,} with a fixed seed" if lists["lists"] < lists["events"] else ""
    return f"The top 20 before {lists['lists']:,} events{drawn}"


def list_rows(lists: dict[str, Any]) -> list[list[str]]:
    """Rows of a figure, its value for recommended items, and its value for actual items."""
    rows = [["share of the catalogue in some list", _number(lists["coverage"]), ""]]
    for key, (text, digits) in LIST_FIGURES.items():
        values = (lists[f"{key}_recommended"], lists[f"{key}_actual"])
        rows.append([text, *(_number(value, digits) for value in values)])
    return [*rows, ["diversity: 1 - cosine of item vectors in a list", _number(lists["diversity"]), ""]]


def hit_rows(result: dict[str, Any]) -> list[list[str]]:
    """Rows of relevant items, the number of events, and the HIT_SCORES of the top 20."""
    metrics, lists = result["metrics"]["all"], result["lists"]
    found = {"the next item, of all events": (metrics["n"], metrics)}
    if result["scored"] == "all":  # otherwise no event follows a scored event
        text = f"the items of the next {lists['next_events']['events']} events"
        found[text] = (lists["lists"], lists["next_events"])
    return [[text, f"{n:,}", *(_number(scores[name]) for name in HIT_SCORES)] for text, (n, scores) in found.items()]


def calibration_text(calibration: dict[str, Any]) -> str:
    """The calibration in one line."""
    item, known, every = calibration["next_item"], calibration["known"], calibration["all"]
    whole = calibration["whole_list"]
    return (
        f"Expected calibration error of the items in the top 20: {_number(known['ece'])} before events with a known "
        f"item, {_number(every['ece'])} before all events; a whole list before a known item: probability "
        f"{_number(whole['probability'])}, and {_number(whole['came'])} came; the next known item: log-loss "
        f"{_number(item['log_loss'], 3)} nats, mean probability {_number(item['probability'])}"
    )


def _lists(result: dict[str, Any]) -> Table:
    table = _table(lists_title(result["lists"]), [""], ["recommended items", "actual items"])
    for row in list_rows(result["lists"]):
        table.add_row(*row)
    return table


def _hits(result: dict[str, Any]) -> Table:
    table = _table("Hits of the top 20", ["relevant"], ["n", *HIT_SCORES])
    for row in hit_rows(result):
        table.add_row(*row)
    return table


def _calibration(result: dict[str, Any]) -> Table:
    title = "Items in the top 20 by the softmax of their scores, before events with a known item"
    table = _table(title, ["probability"], ["n", "mean probability", "share that came"])
    rows = result["calibration"]["known"]["reliability"]
    for number, row in enumerate(rows, 1):
        label = f"tenth {number}" + {1: " (lowest)", len(rows): " (highest)"}.get(number, "")
        table.add_row(label, f"{row['n']:,}", _number(row["probability"]), _number(row["came"]))
    return table


def print_heads(console: Console, heads: dict[str, Any]) -> None:
    """Print the result of `heads.head_metrics`."""
    table = _table("Next action", ["events", "action"], ["n", "precision", "recall", "F1", "share", "AP", "AUC"])
    for part, metrics in heads["action"].items():
        if metrics["n"]:
            table.add_row(part, "macro mean", *_action_cells(metrics), style="bold")
        for name, scores in metrics["by_action"].items():
            table.add_row("", escape(name or "unknown"), *_action_cells(scores))
    print_table(console, table)
    console.print(action_text(heads["action"]["all"]), soft_wrap=True, highlight=False)
    if heads["time"]["n"]:
        console.print(_time(heads["time"]), soft_wrap=True, highlight=False)
    if heads["churn"]:
        print_table(console, _churn(heads["churn"]))
    else:
        console.print(no_churn_text(heads), soft_wrap=True, highlight=False)


def _action_cells(scores: dict[str, Any]) -> list[str]:
    return [f"{scores['n']:,}", *(_number(scores.get(name)) for name in ACTION_SCORES)]


def action_text(action: dict[str, Any]) -> str:
    """The result of `next_action.action_metrics` beside constant predictions, which take no skill."""
    text = (
        f"Next action: accuracy {_number(action['accuracy'])}, always the most frequent action "
        f"{_number(action['most_frequent'])}; log loss {_number(action['log_loss'])}, of constant probabilities "
        f"{_number(action['constant_log_loss'])}: skill {_number(action['skill'])}"
    )
    if not action["adjusted"]:
        return text
    return (
        f"{text}; with the bundle's offsets, which name rare actions more often: accuracy "
        f"{_number(action['adjusted']['accuracy'])}, macro F1 {_number(action['adjusted']['f1'])}"
    )


def no_churn_text(heads: dict[str, Any]) -> str:
    """Why a result has no metrics of churn."""
    if heads["log_days"] is None:
        return "Churn: not to be judged, since only the last event of each user is scored, which no event follows"
    return (
        f"Churn: not to be judged, since the scored events span {24 * heads['log_days']:.2f} hours, less than the "
        f"shortest horizon, {CHURN_DAYS[0]} day"
    )


def _time(time: dict[str, Any]) -> str:
    shares = time["watched"]["coverage"].items()
    coverage = ", ".join(f"{_number(share, 3)} in the {interval}" for interval, share in shares)
    return (
        f"Time to the next event, {time['n']:,} events of users with history: log-likelihood "
        f"{_number(time['log_likelihood'], 3)} nats (density per second); of log(1 s + time) MSE "
        f"{_number(time['log_mse'], 3)}, MAE {_number(time['log_mae'], 3)}; of seconds MAE "
        f"{_number(time['mae_s'], 1)}, median error {_number(time['median_absolute_error_s'], 1)}; corrected for the "
        f"log's end, {coverage} central interval; {calibration_errors_text(time)}"
    )


def _churn(churn: dict[str, Any]) -> Table:
    names = ("auc", "count_auc", "brier", "constant_brier", "mean_risk", "churned")
    headings = ["n", "AUC", "of counting", "Brier", "of a constant", "mean risk", "churned"]
    title = "Churn: no event within the horizon, after events whose outcome the log shows"
    table = _table(title, ["horizon"], headings)
    for horizon, metrics in churn.items():
        table.add_row(horizon, f"{metrics['n']:,}", *(_number(metrics[name]) for name in names))
    return table


def _comparison(result: dict[str, Any]) -> Table:
    compare = result["compare"]
    title = f"{result['bundle_id']} minus {compare['bundle_id']} ({compare['catalogue']:,} items)"
    table = _table(title, ["events"], ["n", *(text for name in NAMES for text in (name, "95%", "p"))])
    for part, differences in compare["difference"].items():
        cells = [text for name in NAMES for text in _difference_cells(differences[name])]
        table.add_row(part.replace("_", " "), f"{differences['n']:,}", *cells)
    return table


def _comparison_by_user(by_user: dict[str, Any]) -> Table:
    title = "The difference as the mean over users; 95% of a confidence sequence, which holds at every look"
    table = _table(title, ["events"], ["users", *(text for name in NAMES for text in (name, "95%"))])
    for part, metrics in by_user.items():
        users = next((found["users"] for found in metrics.values() if found), 0)
        cells = [text for name in NAMES for text in user_cells(metrics[name])]
        table.add_row(part.replace("_", " "), f"{users:,}", *cells)
    return table


def user_cells(found: dict[str, Any] | None) -> tuple[str, str]:
    """The mean of `confidence_sequence.mean_of_users` and its interval."""
    return ("-", "-") if found is None else (f"{found['mean']:+.4f}", _range(found["interval"], "+.4f"))


def _difference_cells(found: dict[str, Any] | None) -> tuple[str, str, str]:
    if found is None:
        return "-", "-", "-"
    return f"{found['difference']:+.4f}", _range(found["interval"], "+.4f"), f"{found['p']:.3f}"


def _robustness(curves: dict[str, Any]) -> Table:
    shares = list(next(iter(curves.values())))
    headings = ["clean" if share == "0" else f"{float(share):.0%}" for share in shares]
    title = "Recall@20 and MRR@20 of users with history, where a share of the history is disturbed"
    table = _table(title, ["history"], headings)
    for kind, points in curves.items():
        for name in NAMES:
            label = kind if name == NAMES[0] else ""
            table.add_row(label, *(_number(points[share][name]) for share in shares))
    return table


def _freshness(freshness: dict[str, Any]) -> Table:
    title = "Users with history: live and frozen states; gain: live minus frozen, on the same events"
    table = _table(title, ["state", "events"], ["n", *NAMES, *(f"gain {name}" for name in NAMES)])

    def add(state: str, events: str, metrics: dict[str, Any], gain: dict[str, Any] | None) -> None:
        gains = [_gain(gain[name]) if gain else "" for name in NAMES]
        table.add_row(state, events, f"{metrics['n']:,}", *(_number(metrics[name]) for name in NAMES), *gains)

    add("live", "all", freshness["live"], None)
    for lag, lagged in freshness["frozen"].items():
        add(f"{lag} old", "all", lagged["all"], lagged["gain"])
        add("", "with an event so old", lagged["older"]["frozen"], lagged["older"]["gain"])
    return table


def _gain(found: dict[str, Any] | None) -> str:
    return "-" if found is None else f"{found['difference']:+.4f} (p {found['p']:.3f})"
