"""A worker as a child process of the demo, and what it says at /metrics."""

import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from streams.config.settings import PREFIX, Settings
from streams.local.process.ports import HOST, free_ports
from streams.local.process.processes import Service

SCRAPE_LIMIT_S = 2.0


class Reading:
    """One scrape of a worker's metrics."""

    def __init__(self, text: str) -> None:
        self._samples = [s for family in text_string_to_metric_families(text) for s in family.samples]

    def records(self, outcome: str) -> int:
        return int(self._sum("thalweg_records_total", outcome=outcome))

    def count(self, name: str) -> int:
        """The sum of a metric over its labels."""
        return int(self._sum(name))

    @property
    def lag(self) -> int:
        return sum(self.lags().values())

    def lags(self) -> dict[int, int]:
        """Records behind the end of each partition that the worker holds."""
        return {int(s.labels["partition"]): int(s.value) for s in self._samples if s.name == "thalweg_lag_records"}

    def freshness_ms(self, quantile: float, since: "Reading | None" = None) -> float | None:
        """The quantile in ms, None without a row stored `since`. Within its bucket it is interpolated, as Prometheus's
        histogram_quantile does; beyond the last bound it is that bound."""
        buckets = self._freshness()
        counts = np.array([s.value for s in buckets])
        if since is not None:
            counts -= np.array([s.value for s in since._freshness()])
        if not len(counts) or counts[-1] == 0:
            return None
        bounds_ms = [0.0, *(float(bucket.labels["le"]) * 1000 for bucket in buckets[:-1])]
        reached, rank = np.array([0.0, *counts[:-1]]), quantile * counts[-1]
        if rank > reached[-1]:
            return bounds_ms[-1]
        first = np.diff(reached, prepend=-1.0) > 0  # a rank that several bounds have reached is that of the first
        return float(np.interp(rank, reached[first], np.array(bounds_ms)[first]))

    def _freshness(self) -> list[Any]:
        return [s for s in self._samples if s.name == "thalweg_freshness_seconds_bucket"]

    def _sum(self, name: str, **labels: str) -> float:
        return sum(s.value for s in self._samples if s.name == name and labels.items() <= s.labels.items())


class WorkerProcess(Service):
    """`thalweg worker` with these settings; ends with the process that started it."""

    def __init__(self, settings: Settings, log: Path) -> None:
        port = free_ports(["http"])["http"]
        values = {f"{PREFIX}{name.upper()}": str(value) for name, value in _given(settings).items()}
        environment = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX)}
        super().__init__(
            name="the worker",
            address=f"{HOST}:{port}",
            command=[sys.executable, "-m", "streams.cli", "worker"],
            log=log,
            answers=lambda: _get(f"http://{HOST}:{port}/readyz") is not None,
            environment={**environment, **values, f"{PREFIX}HTTP_PORT": str(port)},
            bound=True,
        )

    def has_partitions(self) -> bool:
        return _get(f"http://{self.address}/readyz") is not None

    def read(self) -> Reading | None:
        """The metrics now; None where it does not answer."""
        text = _get(f"http://{self.address}/metrics")
        return None if text is None else Reading(text)


def _given(settings: Settings) -> dict[str, object]:
    return {name: value for name in settings.__struct_fields__ if (value := getattr(settings, name)) is not None}


def _get(url: str) -> str | None:
    try:
        with urllib.request.urlopen(url, timeout=SCRAPE_LIMIT_S) as answer:
            text: str = answer.read().decode()
            return text
    except (urllib.error.URLError, OSError):
        return None
