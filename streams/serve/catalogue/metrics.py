"""The Prometheus metrics of the catalogue."""

from prometheus_client import CollectorRegistry, Gauge

from streams.serve.catalogue.progress import Progress


def add_catalogue_metrics(registry: CollectorRegistry, progress: Progress) -> None:
    """Register the metrics. Their values are read from `progress` when somebody asks."""
    for name, text, read in (
        ("items", "Items in the catalogue", lambda: progress.catalogue.items),
        ("lag_records", "Records of the catalogue that are not read yet", lambda: progress.lag_records),
        ("broken_records", "Records that are no items, in the present reading", lambda: progress.broken),
        ("left_out_items", "Records for which the memory had no room", lambda: progress.catalogue.left_out),
        ("following", "1 while the server follows the catalogue", lambda: progress.state == "following"),
    ):
        Gauge(f"thalweg_catalogue_{name}", text, registry=registry).set_function(read)
