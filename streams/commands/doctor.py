"""`thalweg doctor`: the settings, and whether everything that a worker needs is there; a remedy for what is not."""

import argparse
import errno
import importlib.metadata
import platform
import re
import socket
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import aiokafka.codec
from rich.console import Console
from rich.text import Text

from export.runtime.bundle import Bundle
from export.runtime.stepper import Stepper, cuda_failure, ort_version
from streams.broker.topics import broker_admin, describe_topic
from streams.config.errors import SettingsError, StoreError, ThalwegError
from streams.config.settings import PREFIX, Settings, load_settings
from streams.local.state import read_state
from streams.store import cql_schema
from streams.store.batching import row_bytes, rows_per_request
from streams.store.user_rows import connect

THRESHOLDS = ("batch_size_fail_threshold_in_kb", "batch_size_warn_threshold_in_kb")
CODECS = ("gzip", "snappy", "lz4", "zstd")
STYLES = {"ok": "green", "note": "yellow", "failed": "bold red"}
_REQUIREMENT = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)\s*(==\s*(?P<pin>[^;,\s]+))?")
_COLUMN = re.compile(r"^ {4}(?P<name>[a-z_]+) (?P<type>[a-z]+(<[^>]+>)?)[ ,]", re.MULTILINE)


State = Literal["ok", "note", "failed"]


class Finding(NamedTuple):
    """One line: `ok`, `note` (a worker runs all the same) or `failed` (it does not)."""

    state: State
    subject: str
    detail: str
    remedy: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", help="folder of the bundle (default: the setting `bundle`)")


def run(args: argparse.Namespace) -> int:
    """Print every finding; 1 where one failed."""
    console = Console(highlight=False)
    settings = load_settings()
    for name in Settings.__struct_fields__:
        console.print(f"  {PREFIX}{name.upper()} = {getattr(settings, name)!r}", markup=False, soft_wrap=True)
    failed = 0
    for finding in examine(settings, args.bundle):
        failed += finding.state == "failed"
        _print(console, finding)
    console.print(f"{failed} failed" if failed else "all that a worker needs is there")
    return 1 if failed else 0


def examine(settings: Settings, bundle_argument: str | None) -> Iterator[Finding]:
    """Every check, one after the other; none raises a ThalwegError."""
    yield Finding("ok", "python", f"{platform.python_version()} on {platform.platform()}")
    yield from _packages()
    for codec in CODECS:
        yield from _codec(codec)
    bundle: Bundle | None = None
    try:
        bundle = Bundle.load(settings.bundle_folder(bundle_argument))
    except ThalwegError as error:
        yield Finding("failed", "bundle", str(error))
    else:
        yield _bundle(bundle)
    yield from _guarded("onnxruntime", lambda: _runtime(bundle))
    yield _http(settings)
    yield from _local()
    yield from _guarded("broker", lambda: _broker(settings, bundle))
    yield from _guarded("cassandra", lambda: _cassandra(settings, bundle))


def _guarded(subject: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except ThalwegError as error:
        yield Finding("failed", subject, str(error))


def _print(console: Console, finding: Finding) -> None:
    line = Text.assemble((f"{finding.state:<7}", STYLES[finding.state]), f"{finding.subject:<14}{finding.detail}")
    console.print(line, soft_wrap=True)
    if finding.remedy:
        console.print(Text(f"{'':<21}-> {finding.remedy}"), soft_wrap=True)


def _packages() -> Iterator[Finding]:
    """What the project's own metadata asks for (its extras aside) beside what is installed."""
    found = [f"thalweg {importlib.metadata.version('thalweg')}"]
    for requirement in importlib.metadata.requires("thalweg") or []:
        match = _REQUIREMENT.match(requirement)
        if match is None or "extra ==" in requirement:
            continue
        name, pin = match["name"], match["pin"]
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            if "sys_platform" not in requirement:  # the other platform's ONNX Runtime is rightly not here
                yield Finding("failed", "packages", f"{name} is not installed", "install with `uv sync`")
            continue
        if pin is not None and version != pin:
            yield Finding("failed", "packages", f"{name} {version} is not the tested {pin}", "install with `uv sync`")
        found.append(f"{name} {version}")
    yield Finding("ok", "packages", ", ".join(found))


def _codec(name: str) -> Iterator[Finding]:
    """Round trip through the very functions that the consumer's fetcher calls."""
    text = b"view cart purchase " * 50
    try:
        encoded = getattr(aiokafka.codec, f"{name}_encode")(text)
        correct = bytes(getattr(aiokafka.codec, f"{name}_decode")(encoded)) == text
    except Exception as error:  # whatever a missing or broken native library raises
        yield Finding("failed", f"codec {name}", f"{type(error).__name__}: {error}", "install cramjam: `uv sync`")
        return
    if correct:
        yield Finding("ok", f"codec {name}", f"{len(text)} bytes as {len(encoded)}")
    else:
        yield Finding(
            "failed", f"codec {name}", "decodes to other bytes", "install cramjam anew: `uv sync --reinstall`"
        )


def _bundle(bundle: Bundle) -> Finding:
    manifest = bundle.manifest
    detail = (
        f"{bundle.bundle_id} in {bundle.path}: {manifest.items} items, {manifest.actions} actions, "
        f"state {manifest.state_width}, representation {manifest.representation_width}"
    )
    return Finding("ok", "bundle", detail)


def _runtime(bundle: Bundle | None) -> Iterator[Finding]:
    runtime, failure = ort_version(), cuda_failure()
    if bundle is not None:
        Stepper(bundle)  # whose graphs this version must be able to load
    if failure:
        yield Finding("note", "onnxruntime", f"{runtime}: steps on the CPU, though there is a GPU", failure)
    elif failure is not None:
        yield Finding("ok", "onnxruntime", f"{runtime}: steps on the CPU")
    elif bundle is None or bundle.has_gpu_graphs:
        yield Finding("ok", "onnxruntime", f"{runtime}: steps on the GPU")
    else:
        remedy = "export the bundle with --gpu to use it"
        yield Finding("note", "onnxruntime", f"{runtime}: steps on the CPU, though there is a GPU", remedy)


def _http(settings: Settings) -> Finding:
    """Whether a worker or monitor that starts now could listen, as its HTTP server would."""
    host, port = settings.http_host, settings.http_port
    detail = f"port {port} on {host}" if port else f"any free port on {host}"
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            with socket.socket(family, kind, protocol) as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            remedy = "right where a worker is running already; for a further one set THALWEG_HTTP_PORT to another or 0"
            return Finding("note", "http", f"{detail} is taken", remedy)
        remedy = "set THALWEG_HTTP_HOST to an address of this machine, THALWEG_HTTP_PORT to a port above 1023 or 0"
        return Finding("failed", "http", f"{detail}: {error}", remedy)
    return Finding("ok", "http", detail)


def _local() -> Iterator[Finding]:
    state = read_state()
    if state is None:
        return
    if len(state.running()) == len(state.pids):
        yield Finding(
            "ok", "thalweg up", f"Kafka at {state.access['broker']}, Cassandra at {state.access['cassandra']}"
        )
    else:
        ended = sorted(set(state.pids) - set(state.running()))
        remedy = f"`thalweg down`, then `thalweg up`; logs are in {state.data_dir}"
        yield Finding("note", "thalweg up", f"{' and '.join(ended)} ended by itself", remedy)


def _broker(settings: Settings, bundle: Bundle | None) -> Iterator[Finding]:
    with broker_admin(settings) as admin:
        brokers = admin.describe_cluster()["brokers"]
        topics = set(admin.list_topics())
    if len(brokers) < settings.replication:
        detail = f"{len(brokers)} at {settings.broker} and replication = {settings.replication}"
        yield Finding("failed", "broker", detail, "set THALWEG_REPLICATION to at most the number of brokers")
    else:
        yield Finding("ok", "broker", f"{len(brokers)} at {settings.broker}")
    yield from _topics(settings, bundle, topics)


def _topics(settings: Settings, bundle: Bundle | None, existing: set[str]) -> Iterator[Finding]:
    behavior = settings.behavior_topic
    if behavior not in existing:
        yield Finding("note", "topics", f"{behavior} does not exist yet: the first worker makes it")
        return
    readers = None if bundle is None else settings.consumer_group_id(bundle.bundle_id)
    topic = describe_topic(settings, behavior, readers)
    lag = "" if readers is None else f", {topic.lag} not read yet by {readers}"
    yield Finding("ok", "topics", f"{behavior}: {topic.partitions} partitions, {topic.records} records{lag}")
    for name in (settings.updates_topic, settings.evaluation_topic, settings.dead_letter_topic):
        if name not in existing:
            yield Finding("note", "topics", f"{name} does not exist yet: the first worker makes it")
            continue
        partitions = describe_topic(settings, name).partitions
        detail = f"{name} has {partitions} partitions, {behavior} has {topic.partitions}"
        if partitions > topic.partitions:
            yield Finding("failed", "topics", detail, f"add partitions to {behavior} or name another topic")
        elif partitions < topic.partitions:
            yield Finding("note", "topics", f"{detail}: the next worker adds them")


def _keyspace(settings: Settings) -> Finding:
    try:
        cql_schema.statements(settings.keyspace, settings.replication, width=1)
    except SettingsError as error:
        return Finding("failed", "keyspace", str(error), "set THALWEG_KEYSPACE")
    return Finding("ok", "keyspace", settings.keyspace)


def _cassandra(settings: Settings, bundle: Bundle | None) -> Iterator[Finding]:
    keyspace = _keyspace(settings)
    yield keyspace
    cluster, session = connect(settings)
    try:
        version = session.execute("SELECT release_version FROM system.local").one()[0]
        if int(version.split(".")[0]) < 5:
            yield Finding("failed", "cassandra", f"{version} has no vector type", "use Cassandra 5")
            return
        yield Finding("ok", "cassandra", f"{version} at {settings.cassandra}")
        yield from _durability(session, settings)
        if bundle is not None:
            yield from _batch_thresholds(session, bundle)
        if keyspace.state == "ok":
            yield from _schema(session, settings, bundle)
    except Exception as error:  # the driver's errors have no common root
        raise StoreError(
            f"Cassandra at {settings.cassandra} refused a query: {type(error).__name__}: {error}"
        ) from error
    finally:
        cluster.shutdown()


def _durability(session: Any, settings: Settings) -> Iterator[Finding]:
    """Whether a row that was acknowledged outlives the node that did so."""
    query = "SELECT value FROM system_views.settings WHERE name = 'commitlog_sync'"
    row = session.execute(query).one()
    if row is not None and row[0] == "periodic" and settings.replication == 1:
        detail = "commitlog_sync is periodic and replication is 1: a node that is killed forgets its last rows"
        remedy = "for production, replication 3 (THALWEG_REPLICATION), or commitlog_sync: group in cassandra.yaml"
        yield Finding("note", "durability", detail, remedy)
    else:
        yield Finding("ok", "durability", f"replication {settings.replication}")


def _batch_thresholds(session: Any, bundle: Bundle) -> Iterator[Finding]:
    """Whether a full batch of this bundle's rows passes the server's limits (5 and 50 KiB as Cassandra ships)."""
    size = row_bytes(bundle.manifest)
    rows = rows_per_request(size)
    batch_bytes = rows * size
    query = "SELECT name, value FROM system_views.settings WHERE name IN ('{}', '{}')".format(*THRESHOLDS)
    limits = {name: int(value) * 1024 for name, value in session.execute(query) if value is not None}
    remedy = "set batch_size_warn_threshold: 64KiB and batch_size_fail_threshold: 640KiB in cassandra.yaml"
    states: tuple[State, State] = ("failed", "note")
    for name, state in zip(THRESHOLDS, states, strict=True):
        if batch_bytes > limits.get(name, batch_bytes):
            detail = f"{rows} rows take about {batch_bytes // 1024} KiB, {name} is {limits[name] // 1024}"
            yield Finding(state, "batches", detail, remedy)
            return
    yield Finding("ok", "batches", f"{rows} rows take about {batch_bytes // 1024} KiB")


def _schema(session: Any, settings: Settings, bundle: Bundle | None) -> Iterator[Finding]:
    """The columns that exist beside those of the CREATE statements."""
    query = "SELECT table_name, column_name, type FROM system_schema.columns WHERE keyspace_name = %s"
    existing: dict[str, dict[str, str]] = {}
    for table, column, kind in session.execute(query, [settings.keyspace]):
        existing.setdefault(table, {})[column] = kind
    if not existing:
        yield Finding("note", "schema", f"keyspace {settings.keyspace} has no table yet: the first worker makes them")
        return
    if bundle is None:
        yield Finding(
            "note", "schema", f"{len(existing)} tables in {settings.keyspace}; no bundle to compare them with"
        )
        return
    width = bundle.manifest.representation_width
    for table, columns in expected_columns(settings.keyspace, settings.replication, width).items():
        found = existing.get(table)
        if found is None:
            yield Finding(
                "note", "schema", f"{settings.keyspace}.{table} does not exist yet: the first worker makes it"
            )
            continue
        wrong = {name: found.get(name) for name, kind in columns.items() if found.get(name) != kind}
        if wrong:
            name, kind = next(iter(wrong.items()))
            detail = f"{settings.keyspace}.{table}: column {name} is {kind or 'missing'}, expected {columns[name]}"
            yield Finding("failed", "schema", detail, "name a keyspace that only Thalweg uses: THALWEG_KEYSPACE")
        else:
            yield Finding("ok", "schema", f"{settings.keyspace}.{table}: {len(columns)} columns")
    if "item_vectors_stored" in existing:
        yield _item_vectors(session, settings, bundle)


def _item_vectors(session: Any, settings: Settings, bundle: Bundle) -> Finding:
    query = f"SELECT items FROM {settings.keyspace}.item_vectors_stored WHERE bundle_id = %s LIMIT 1"
    row = session.execute(query, [bundle.bundle_id]).one()
    stored, items = 0 if row is None else row[0], bundle.manifest.items
    detail = f"{stored:,} of {items:,} of {bundle.bundle_id} are stored"
    if stored == items:
        return Finding("ok", "item vectors", detail)
    return Finding("note", "item vectors", f"{detail}: the worker that holds partition 0 writes the others")


def expected_columns(keyspace: str, replication: int, width: int) -> dict[str, dict[str, str]]:
    """table -> column -> type, read from the CREATE statements."""
    tables: dict[str, dict[str, str]] = {}
    for statement in cql_schema.statements(keyspace, replication, width):
        head = re.match(rf"CREATE TABLE IF NOT EXISTS {keyspace}\.(\w+)", statement)
        if head is not None:
            tables[head[1]] = {match["name"]: match["type"] for match in _COLUMN.finditer(statement)}
    return tables
