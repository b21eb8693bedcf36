"""The metrics of several processes as those of one. Pure: callers pass what the processes answered."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

CUMULATIVE = ("counter", "histogram", "summary")  # what such a metric has counted outlives the process
# Gauges of which all processes read the same thing, each as far as it knows. All other gauges are summed.
GAUGES_BY_MAXIMUM = (
    "thalweg_lag_records",
    "thalweg_open_transaction_records",
    "thalweg_item_vectors_stored",
    "thalweg_bundle_items",
    "process_start_time_seconds",  # of the youngest process, so that each restart changes the value
)


class MergedMetrics(Collector):
    """The last answer of each process, merged at each scrape.

    What a process had counted at its last answer still counts after its end, so that no counter falls.
    """

    def __init__(self) -> None:
        self._answers: dict[int, list[Metric]] = {}  # by the number of the process
        self._ended: list[Metric] = []
        self.running = 0
        self.restarts = 0

    def take(self, number: int, text: str) -> None:
        """text: what the process answered, in Prometheus's exposition format."""
        self._answers[number] = list(text_string_to_metric_families(text))

    def retire(self, number: int) -> None:
        """The process has ended. The next one with this number counts from zero."""
        answer = self._answers.pop(number, [])
        kept = [family for family in answer if family.type in CUMULATIVE or _is_creation_time(family.name)]
        self._ended = merged([self._ended, kept])

    def collect(self) -> Iterator[Metric]:
        """Prometheus calls this method at each scrape."""
        yield from merged([self._ended, *self._answers.values()])
        yield GaugeMetricFamily("thalweg_processes", "Worker processes that run.", value=self.running)
        yield CounterMetricFamily(
            "thalweg_process_restarts", "Worker processes that were started again.", value=self.restarts
        )


def merged(answers: Iterable[Iterable[Metric]]) -> list[Metric]:
    """One family for each name, with one sample for each set of labels.

    Counters, histograms and most gauges are summed. Of the gauges in GAUGES_BY_MAXIMUM, the largest value counts. Of
    times of creation, the earliest counts.
    """
    families: dict[str, Metric] = {}
    values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for family in (family for answer in answers for family in answer):
        families.setdefault(family.name, family)
        found = values.setdefault(family.name, {})
        join = _rule(family.name)
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            found[key] = join((found[key], sample.value)) if key in found else sample.value
    return [_family(family, values[name]) for name, family in families.items()]


def _family(like: Metric, values: dict[tuple[str, tuple[tuple[str, str], ...]], float]) -> Metric:
    family = Metric(like.name, like.documentation, like.type)
    family.samples = [Sample(name, dict(labels), value) for (name, labels), value in values.items()]
    return family


def _rule(name: str) -> Callable[[tuple[float, float]], float]:
    if _is_creation_time(name):
        return min
    return max if name in GAUGES_BY_MAXIMUM else sum


def _is_creation_time(name: str) -> bool:
    return name.endswith("_created")
