"""README.md of a bundle: a model card as hubs of models show it, made from the manifest alone.

The front matter is that of the Hugging Face Hub (https://huggingface.co/docs/hub/model-cards#model-card-metadata). The
card names no licence: the owner of the events decides about a licence. A card is no part of the bundle's content, so
the owner may write more into the card, and the bundle's id stays.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from encoder.metrics.baselines import BASELINES
from export.runtime.bundle import Manifest

MODEL_CARD = "README.md"
METRICS = ("recall@20", "mrr@20", "ndcg@20")
_SPAN = {"events", "first_ms", "last_ms"}  # of `Manifest.training` under `data`; an exporter need not give them
Z_95 = 1.959964  # of the normal distribution, for 95%


class Figure(NamedTuple):
    """A mean of values between 0 and 1, and its interval."""

    name: str
    value: float
    low: float
    high: float


def model_card(manifest: Manifest) -> str:
    """The text of README.md."""
    figures = _figures(manifest.metrics)
    parts = ["---", *_front_matter(manifest, figures), "---", ""]
    return "\n".join([*parts, *_body(manifest, figures)]) + "\n"


def wilson_interval(mean: float, n: int) -> tuple[float, float]:
    """The 95% interval of a share of n events (Wilson 1927, https://doi.org/10.2307/2276774).

    The mean of other values between 0 and 1 has at most the variance of a share, so their interval is not wider.
    """
    square = Z_95**2 / n
    centre, half = mean + square / 2, Z_95 * math.sqrt(mean * (1 - mean) / n + square / (4 * n))
    return max(0.0, (centre - half) / (1 + square)), min(1.0, (centre + half) / (1 + square))


def _figures(metrics: Mapping[str, Any]) -> list[Figure]:
    events = int(metrics.get("n", 0))
    found = [(name, float(metrics[name])) for name in METRICS if name in metrics] if events else []
    return [Figure(name, value, *wilson_interval(value, events)) for name, value in found]


def _front_matter(manifest: Manifest, figures: Sequence[Figure]) -> Iterator[str]:
    """The lines between the lines of dashes. A text in JSON is a text in YAML."""
    yield "library_name: thalweg"
    yield "tags:"
    for tag in ("onnx", "recommendation", "sequential-recommendation", "user-representations", manifest.cell):
        yield f"- {tag}"
    if not figures:
        return
    yield "metrics:"
    yield from (f"- {figure.name.replace('@', '_at_')}" for figure in figures)
    yield "model-index:"
    yield f"- name: {json.dumps(manifest.bundle_id)}"
    yield "  results:"
    yield "  - task:"
    yield "      type: sequential-recommendation"
    yield "      name: The next item of a user"
    yield "    dataset:"
    yield "      type: event-log"
    yield f"      name: {json.dumps(_dataset(manifest))}"
    yield "      split: validation"
    yield "    metrics:"
    for name, value, low, high in figures:
        yield f"    - type: {name.replace('@', '_at_')}"
        yield f"      name: {json.dumps(f'{_title(name)} (95% interval {low:.4f} to {high:.4f})')}"
        yield f"      value: {value:.4f}"


def _body(manifest: Manifest, figures: Sequence[Figure]) -> Iterator[str]:
    yield f"# {manifest.bundle_id}"
    yield ""
    yield (
        "A recurrent model of users. With each event, the model steps the state of a user, and gives a vector of the "
        f"user ({manifest.representation_width} numbers). The dot product of the vector and the vector of an item is "
        "the item's score."
    )
    yield ""
    yield from _table(_facts(manifest))
    if figures:
        yield from _quality(manifest.metrics, figures)
    yield from ("", "## Parity", "", _parity(manifest.parity))
    yield from ("", "## How to use", "", "```sh", "thalweg worker --bundle .", "thalweg serve --bundle .", "```", "")
    yield (
        "`step.onnx` and `predict.onnx` run in any ONNX Runtime. `manifest.json` has their widths, and "
        "`vocabulary.json` has the names of items and actions. Each graph names its bundle in its metadata."
    )
    yield from ("", "## Limits", "")
    yield from (f"- {text}" for text in _limits(manifest))


def _facts(manifest: Manifest) -> list[tuple[str, str]]:
    data, settings = manifest.training.get("data", {}), manifest.training.get("settings", {})
    facts = [
        ("cell", manifest.cell),
        ("items", f"{manifest.items:,}"),
        ("actions", f"{manifest.actions}"),
        ("state of a user", f"{manifest.state_width} numbers of float32"),
    ]
    if data.keys() >= _SPAN:
        facts += [
            ("training events", f"{data['events']:,}"),
            ("first and last event", f"{_date(data['first_ms'])} and {_date(data['last_ms'])}"),
        ]
    if (users := data.get("users")) is not None:
        facts.append(("users", f"{users:,}"))
    more = {"SHA-256 of the training log": data.get("sha256"), "seed": settings.get("seed")}
    facts += [(name, str(value)) for name, value in more.items() if value is not None]
    if manifest.features:
        facts.append(("inputs beside item, action and gap", ", ".join(manifest.features)))
    if manifest.purchase_actions:
        facts.append(("actions that buy an item", ", ".join(manifest.purchase_actions)))
    if manifest.aligned_to:
        aligned = manifest.aligned_to
        facts.append(("in the vector space of", f"{aligned['bundle_id']} (cosine {aligned['cosine']:g})"))
    return facts


def _quality(metrics: Mapping[str, Any], figures: Sequence[Figure]) -> Iterator[str]:
    yield from ("", "## Quality", "")
    yield (
        f"Each of {int(metrics['n']):,} events was predicted from the events before it, among all items. Split: "
        f"{metrics.get('split', 'validation')}."
    )
    yield ""
    yield from _row(["ranking", *(_title(name) for name in METRICS)])
    yield from _row(["---"] * (len(METRICS) + 1))
    known = {figure.name: f"{figure.value:.4f} ({figure.low:.4f} to {figure.high:.4f})" for figure in figures}
    yield from _row(["this model", *(known.get(name, "") for name in METRICS)])
    for baseline, of in metrics.get("baselines", {}).items():
        values = (f"{of[name]:.4f}" if name in of else "" for name in METRICS)
        yield from _row([BASELINES.get(baseline, baseline), *values])
    yield ""
    yield (
        "The intervals are 95% intervals for independent events. Events of one user resemble each other, so the true "
        "intervals are wider. The training chose the number of its passes on the same events, so the figures are a "
        "little too good."
    )


def _limits(manifest: Manifest) -> Iterator[str]:
    yield f"The model ranks its {manifest.items:,} items. All other items are one and the same item for the model."
    yield "The model has learnt from one log, and predicts what users did there. A change of the shop makes it worse."
    yield "The state of a user tells about the user's behaviour. Treat states and vectors as personal data."
    if not manifest.heads:
        yield "The model predicts neither the next action nor the time of the next event."
    if not manifest.aligned_to:
        yield "The vectors of another bundle stand in another space: do not compare them with the vectors of this one."


def _parity(parity: Mapping[str, Any]) -> str:
    return (
        f"The graphs agree with the trained model over {parity['steps']:,} steps of {parity['sequences']} sequences: "
        f"states within {parity['state_max_abs_diff']:g}, representations within "
        f"{parity['representation_max_abs_diff']:g}, and {parity['rank_errors']} wrong ranks."
    )


def _dataset(manifest: Manifest) -> str:
    data = manifest.training.get("data", {})
    if not data.keys() >= _SPAN:
        return "a log of events"
    return f"a log of {data['events']:,} events from {_date(data['first_ms'])} to {_date(data['last_ms'])}"


def _table(facts: Sequence[tuple[str, str]]) -> Iterator[str]:
    yield from _row(["", ""])
    yield from _row(["---", "---"])
    for fact in facts:
        yield from _row(fact)


def _row(cells: Sequence[str]) -> Iterator[str]:
    """A row of a table. A name of an action may hold a bar or a line break, which would end a cell."""
    one_line = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
    yield f"| {' | '.join(one_line)} |"


def _title(metric: str) -> str:
    name, k = metric.split("@")
    return f"{'Recall' if name == 'recall' else name.upper()}@{k}"


def _date(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
