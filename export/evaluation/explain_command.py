"""`thalweg explain`: how far each event of a user moved its representation, and what that did to an item's rank."""

import argparse
import json
from datetime import UTC, datetime
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from encoder.commands.logs import add_part_arguments, read_log
from encoder.data.events import BehaviorEvent
from encoder.data.features import BRAND
from export.runtime.bundle import Bundle

WIDE = 100  # columns of a terminal that has room for what an item is made of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("user", metavar="USER", help="user id")
    parser.add_argument("--bundle", required=True, metavar="DIR", help="bundle to explain")
    parser.add_argument("--events", required=True, metavar="LOG", help="event log with the user's events")
    add_part_arguments(parser)
    parser.add_argument("--item", metavar="ITEM", help="item id to explain; default: the one that ranks first")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object on the last line")


def run(args: argparse.Namespace) -> int:
    console = Console(stderr=args.json)
    bundle = Bundle.load(args.bundle)
    args.log = args.events
    log, _ = read_log(args, console)
    # only now: ONNX Runtime takes a moment to load
    from export.evaluation.explanation import explain
    from export.runtime.stepper import Stepper

    found = explain(bundle, Stepper(bundle), log, args.user, args.item)
    # score_change: with the event less without it; see `explanation.Explanation`
    result: dict[str, Any] = {
        "bundle_id": bundle.bundle_id,
        "user_id": args.user,
        "item_id": bundle.vocabulary.items[found.item - 1],
        "score": found.score,
        "rank": found.rank,
        "events": [
            {
                "event_id": event.event_id,
                "event_time_ms": event.event_time_ms,
                "action": event.action,
                "item_id": event.item_id,
                "is_in_catalogue": event.item_id in bundle.item_index,
                "content": " ".join(_content(event)),
                "moved_cosine": float(cosine),
                "moved_l2": float(l2),
                "score_change": found.score - float(score),
                "rank_without": int(rank),
            }
            for event, cosine, l2, score, rank in zip(
                found.event.events(),
                found.moved_cosine,
                found.moved_l2,
                found.score_without,
                found.rank_without,
                strict=True,
            )
        ],
    }
    console.print(_table(result, _names(bundle), is_wide=console.width >= WIDE))
    if args.json:
        print(json.dumps(result))
    return 0


def _content(event: BehaviorEvent) -> list[str]:
    """What the event says of its item: for people, to whom an id says nothing."""
    return [str(value) for value in ((event.attributes or {}).get(BRAND), event.category) if value]


def _names(bundle: Bundle) -> dict[str, str]:
    """Item id -> name for people."""
    return dict(zip(bundle.vocabulary.items, bundle.vocabulary.item_names or bundle.vocabulary.items, strict=True))


def _table(result: dict[str, Any], names: dict[str, str], *, is_wide: bool) -> Table:
    """cosine, L2: how far the event moved the representation; score: what it added to the item's. The event that
    moved it most stands in bold; new: the item is not in the catalogue."""
    item_id = result["item_id"]
    table = Table(
        title=f"User {escape(result['user_id'])}: item {escape(names[item_id])}, rank {result['rank']}, "
        f"score {result['score']:.4f}, and what each event did to that",
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
