"""`thalweg explain`: how far each event of a user moved the representation, and an item's score and rank."""

import argparse
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from encoder.commands.log_arguments import TakeLog, add_part_arguments, read_log
from encoder.console import open_console, print_table
from encoder.data.event_log import EventLog
from encoder.data.events import BehaviorEvent
from encoder.data.features import BRAND
from export.runtime.bundle import Bundle

if TYPE_CHECKING:
    from export.evaluation.explanation import Explanation

WIDE = 100  # columns of a terminal that has room for the content of items


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("user", metavar="USER", help="user id")
    parser.add_argument("--bundle", required=True, metavar="DIR", help="bundle that predicts")
    parser.add_argument(
        "--events",
        required=True,
        nargs=1,
        metavar="LOG",
        action=TakeLog,
        help="event log with the user's events: a file, a folder or a glob",
    )
    add_part_arguments(parser)
    parser.add_argument("--item", metavar="ITEM", help="item to explain (default: the item that ranks first)")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object on the last line")


def run(args: argparse.Namespace) -> int:
    console = open_console(stderr=args.json)
    bundle = Bundle.load(args.bundle)
    args.log = args.events
    log, _ = read_log(args, console, for_model=False)
    # These are imported only here, because ONNX Runtime takes a moment to load.
    from export.evaluation.explanation import explain
    from export.runtime.stepper import Stepper

    events, explanation = explain(bundle, Stepper(bundle), log, args.user, args.item)
    result = _result(events, explanation, bundle, args.user)
    names = _item_names(bundle)
    print_table(console, _table(result, names, is_wide=console.width >= WIDE))
    if result["recent"]:
        print_table(console, _recent_table(result, names))
    if args.json:
        print(json.dumps(result))
    return 0


def _result(log: EventLog, explanation: "Explanation", bundle: Bundle, user_id: str) -> dict[str, Any]:
    """The JSON of an explanation.

    score_change: the item's score with the event minus the score without it. score_added: what a recent item has beside
    its dot product.
    """
    events = [
        {
            "event_id": event.event_id,
            "event_time_ms": event.event_time_ms,
            "action": event.action,
            "item_id": event.item_id,
            "is_in_catalogue": event.item_id in bundle.item_index,
            "content": _content(event),
            "moved_cosine": float(cosine),
            "moved_l2": float(l2),
            "score_change": explanation.score - float(score),
            "rank_without": int(rank),
        }
        for event, cosine, l2, score, rank in zip(
            log.events(),
            explanation.moved_cosine,
            explanation.moved_l2,
            explanation.score_without,
            explanation.rank_without,
            strict=True,
        )
    ]
    return {
        "bundle_id": bundle.bundle_id,
        "user_id": user_id,
        "item_id": bundle.vocabulary.items[explanation.item - 1],
        "score": explanation.score,
        "rank": explanation.rank,
        "recent": [
            {"item_id": bundle.vocabulary.items[item - 1], "score_added": score} for item, score in explanation.recent
        ],
        "events": events,
    }


def _content(event: BehaviorEvent) -> str:
    """The brand and category of the event's item, which tell a reader more than an id."""
    return " ".join(str(value) for value in ((event.attributes or {}).get(BRAND), event.category) if value)


def _item_names(bundle: Bundle) -> dict[str, str]:
    """Item id -> name for a reader."""
    return dict(zip(bundle.vocabulary.items, bundle.vocabulary.item_names or bundle.vocabulary.items, strict=True))


def _table(result: dict[str, Any], names: dict[str, str], *, is_wide: bool) -> Table:
    """The events and their effects. The event that moved the representation most is bold.

    cosine, L2: how far the event moved the representation. score: what the event added to the item's score. An item
    outside the catalogue is marked as new. is_wide: there is room for the content of items.
    """
    item_id = result["item_id"]
    table = Table(
        title=f"User {escape(result['user_id'])}: item {escape(names[item_id])}, rank {result['rank']}, "
        f"score {result['score']:.4f}, and what each event did to that",
        caption="cosine and L2: how far the event moved the representation. score: what the event adds to the item's "
        "score. rank without it: the item's rank if the event had not happened.",
        box=SIMPLE,
        padding=(0, 1, 0, 0),
    )
    for heading in ("time (UTC)", "action", "item"):
        table.add_column(heading, no_wrap=True)
    for heading in ("cosine", "L2", "score", "rank without it"):
        table.add_column(heading, justify="right")
    most = max(event["moved_l2"] for event in result["events"])
    for event in result["events"]:
        table.add_row(
            f"{datetime.fromtimestamp(event['event_time_ms'] / 1000, UTC):%Y-%m-%d %H:%M:%S}",
            escape(event["action"]),
            escape(" ".join([names.get(event["item_id"], event["item_id"]), *([event["content"]] if is_wide else [])]))
            + ("" if event["is_in_catalogue"] else " [dim](new)[/]"),
            f"{event['moved_cosine']:.4f}",
            f"{event['moved_l2']:.4f}",
            f"{event['score_change']:+.4f}",
            f"{event['rank_without']:,}",
            style="bold" if event["moved_l2"] == most else "",
        )
    return table


def _recent_table(result: dict[str, Any], names: dict[str, str]) -> Table:
    """The user's last distinct items after all events, and what is added to their scores."""
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("last distinct items, the newest first", no_wrap=True)
    table.add_column("added to the score", justify="right")
    for recent in result["recent"]:
        table.add_row(escape(names[recent["item_id"]]), f"{recent['score_added']:+.4f}")
    return table
