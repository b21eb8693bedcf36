"""Lineage events of OpenLineage: which command made what from which data. They are off by default.

The standard variable OPENLINEAGE_URL or OPENLINEAGE_CONFIG turns the events on, and OPENLINEAGE_DISABLED=true turns
them off. The client of OpenLineage reads these variables and all others itself. A command wraps its work in `lineage`,
which sends START, and at the end COMPLETE, FAIL or ABORT. Events go out in a thread of their own, so a receiver that is
away neither slows a command down nor lets it fail. An event holds no text of an error, because the text may name a
user.
"""

import importlib.util
import os
import queue
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from encoder.errors import InputError

VARIABLES = ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG")
NAMESPACE_VARIABLE, NAMESPACE = "OPENLINEAGE_NAMESPACE", "thalweg"
PRODUCER = "https://pypi.org/project/thalweg"
# A command that ends waits so long for its last event.
STOP_LIMIT_S = 2.0


class Dataset(NamedTuple):
    """Data that a run reads or writes, by the names of OpenLineage (https://openlineage.io/docs/spec/naming)."""

    namespace: str  # where the data are: file, s3://bucket, kafka://host:port, cassandra://host:port
    name: str  # a path, a topic, or keyspace.table
    version: str | None = None  # such as the id of a bundle
    rows: int | None = None

    @classmethod
    def at(cls, path: Path | str, *, version: str | None = None, rows: int | None = None) -> "Dataset":
        """A file or a folder, also one of an object store, such as s3://bucket/folder."""
        scheme, separator, rest = str(path).partition("://")
        if separator and scheme != "file":
            bucket, _, name = rest.partition("/")
            return cls(f"{scheme}://{bucket}", name, version, rows)
        return cls("file", str(Path(rest if separator else path).absolute()), version, rows)

    @classmethod
    def of_topic(cls, broker: str, topic: str, *, version: str | None = None, rows: int | None = None) -> "Dataset":
        """A topic of Kafka. broker: host:port, the first one where there are several."""
        return cls(f"kafka://{broker.partition(',')[0]}", topic, version, rows)

    @classmethod
    def of_table(cls, host: str, table: str, *, version: str | None = None, rows: int | None = None) -> "Dataset":
        """A table of Cassandra. host: host:port. table: keyspace.table."""
        return cls(f"cassandra://{host}", table, version, rows)


class Run:
    """A run of a job. Data sets that become known while it runs are added to `inputs` and `outputs`."""

    def __init__(self, inputs: Sequence[Dataset], outputs: Sequence[Dataset]) -> None:
        self.inputs, self.outputs = list(inputs), list(outputs)


def is_lineage_wanted(environment: Mapping[str, str]) -> bool:
    """Whether the variables turn lineage events on."""
    is_disabled = environment.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true"
    return not is_disabled and any(environment.get(name, "").strip() for name in VARIABLES)


@contextmanager
def lineage(job: str, inputs: Sequence[Dataset] = (), outputs: Sequence[Dataset] = ()) -> Iterator[Run]:
    """Send the events of a run of the job around the block, where lineage is wanted.

    job: the name of the command. Raises InputError where lineage is wanted and the client is not installed.
    """
    run = Run(inputs, outputs)
    if not is_lineage_wanted(os.environ):
        yield run
        return
    if importlib.util.find_spec("openlineage") is None:
        raise InputError(
            f"{' or '.join(VARIABLES)} is set, and the client of OpenLineage is not installed: install Thalweg with "
            "its `lineage` extra, or set OPENLINEAGE_DISABLED=true"
        )
    events = _Events(job)
    sender = _Sender()
    sender.send(events.event("START", run))
    try:
        yield run
    except Exception as error:
        sender.send(events.event("FAIL", run, error))
        raise
    except BaseException:  # Ctrl-C, or a signal that ends the process
        sender.send(events.event("ABORT", run))
        raise
    else:
        sender.send(events.event("COMPLETE", run))
    finally:
        sender.stop()


class _Events:
    """Makes the events of one run."""

    def __init__(self, job: str) -> None:
        from openlineage.client.uuid import generate_new_uuid

        self._job = job
        self._run_id = str(generate_new_uuid())

    def event(self, state: str, run: Run, error: Exception | None = None) -> Any:
        """A RunEvent. state: the name of an EventType. error: why the run has failed."""
        from openlineage.client import event_v2
        from openlineage.client.facet_v2 import error_message_run, job_type_job, processing_engine_run

        facets: dict[str, Any] = {
            "processing_engine": processing_engine_run.ProcessingEngineRunFacet(version=_version(), name="thalweg")
        }
        if error is not None:
            facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(type(error).__name__, "PYTHON")
        job_facets: Any = {"jobType": job_type_job.JobTypeJobFacet("BATCH", "THALWEG", "COMMAND")}
        namespace = os.environ.get(NAMESPACE_VARIABLE) or NAMESPACE
        return event_v2.RunEvent(
            eventTime=datetime.now(UTC).isoformat(),
            producer=PRODUCER,
            run=event_v2.Run(self._run_id, facets),
            job=event_v2.Job(namespace, f"thalweg.{self._job}", job_facets),
            eventType=event_v2.RunState[state],
            inputs=[_input(dataset) for dataset in run.inputs],
            outputs=[_output(dataset) for dataset in run.outputs],
        )


class _Sender:
    """Sends events in their order, in a thread that a process does not wait for."""

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="lineage", daemon=True)
        self._thread.start()

    def send(self, event: Any) -> None:
        self._events.put(event)

    def stop(self) -> None:
        """Wait for the events up to a limit, and tell where an event did not arrive."""
        self._events.put(None)
        self._thread.join(STOP_LIMIT_S)
        if self._thread.is_alive() or self._failure is not None:
            why = f"no answer within {STOP_LIMIT_S:g} s" if self._failure is None else type(self._failure).__name__
            print(f"lineage: an event did not arrive ({why}); the result of the command stands", file=sys.stderr)

    def _run(self) -> None:
        try:
            from openlineage.client import OpenLineageClient

            client = OpenLineageClient()
            while (event := self._events.get()) is not None:
                client.emit(event)
            client.close(STOP_LIMIT_S)
        except Exception as error:  # whatever a transport raises: lineage must not end a command
            self._failure = error


def _input(dataset: Dataset) -> Any:
    from openlineage.client import event_v2
    from openlineage.client.facet_v2 import input_statistics_input_dataset as statistics

    rows: Any = {}
    if dataset.rows is not None:
        rows["inputStatistics"] = statistics.InputStatisticsInputDatasetFacet(rowCount=dataset.rows)
    return event_v2.InputDataset(dataset.namespace, dataset.name, inputFacets=rows, facets=_version_facet(dataset))


def _output(dataset: Dataset) -> Any:
    from openlineage.client import event_v2
    from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics

    rows: Any = {}
    if dataset.rows is not None:
        rows["outputStatistics"] = statistics.OutputStatisticsOutputDatasetFacet(rowCount=dataset.rows)
    return event_v2.OutputDataset(dataset.namespace, dataset.name, outputFacets=rows, facets=_version_facet(dataset))


def _version_facet(dataset: Dataset) -> Any:
    from openlineage.client.facet_v2 import dataset_version_dataset

    if dataset.version is None:
        return {}
    return {"version": dataset_version_dataset.DatasetVersionDatasetFacet(dataset.version)}


def _version() -> str:
    try:
        return version("thalweg")
    except PackageNotFoundError:  # a source tree that is not installed
        return "unknown"
