"""The wiring of a worker: every object is made here, and gets what it needs in its constructor."""

import importlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from export.runtime.bundle import Bundle
from export.runtime.providers import cuda_failure
from export.runtime.resident_states import ResidentStates
from export.runtime.stepper import Stepper
from streams.broker.decoding.noise_key import open_update_noise
from streams.broker.decoding.opening import open_schemas
from streams.broker.decoding.pseudonym_key import open_hiding
from streams.broker.decoding.record_decoder import open_decoder
from streams.broker.decoding.registration import open_update_encoder
from streams.broker.decoding.schemas import Schemas
from streams.broker.partitioners.choice import choose_partitioner
from streams.broker.publisher import Publisher
from streams.broker.topics import ensure_topics
from streams.config.settings import Settings
from streams.contracts.privacy.hidden_letters import Hiding
from streams.contracts.privacy.update_noise import UpdateNoise
from streams.engine.arena import Arena
from streams.engine.codec import RecordDecoder
from streams.engine.device import ROWS_AN_EVENT, DeviceProcessor
from streams.engine.outputs import OutputEncoder
from streams.engine.payload.update_encoders import Encode
from streams.engine.processor import Processor
from streams.engine.sampling import Sample
from streams.health.endpoints import Endpoints
from streams.health.metrics import WorkerMetrics
from streams.health.rights.check import check_broker_rights, check_store_rights
from streams.health.tracing import Tracing, open_tracing
from streams.health.watchdog import Watchdog
from streams.store.cql_schema import row_ttl_s
from streams.store.items.registration import Registration
from streams.store.store import Store, open_store
from streams.worker.absence.sweep import Sweep
from streams.worker.app import App, Parts
from streams.worker.assignment import Assignment, Handover
from streams.worker.in_order import InFlight
from streams.worker.intake import Intake
from streams.worker.pipeline import Pipeline
from streams.worker.rebuild import Rebuilder
from streams.worker.residency import Residency
from streams.worker.restored_store import RestoredStore
from streams.worker.source import Source
from streams.worker.traced_pipeline import Places, TracedPipeline

PARTITIONER_LIMIT_S = 0.2  # A start must not wait longer for the sample of the topic's records.


def build(settings: Settings, bundle: Bundle, announce: Callable[[str, str], None], instance_id: str | None) -> App:
    """The application of a worker, not started.

    Raises SettingsError, MappingError, RegistryError, BrokerError, StoreError, BundleError.

    announce: gets the address of the HTTP endpoints and the id of the consumer group.
    instance_id: makes the worker a static member of the group.
    """
    tracing = open_tracing()
    schemas = open_schemas(settings)
    decoder = open_decoder(settings, schemas)
    hiding, noise = open_hiding(settings), open_update_noise(settings, bundle)
    store = open_store(settings, bundle)
    try:
        check_store_rights(settings, store.session, "worker", [bundle])
        settings = store.registry.settings_of(settings, bundle.bundle_id)
        check_broker_rights(settings, "worker", bundle.bundle_id)
        encode_updates = open_update_encoder(settings)
        ensure_topics(settings)
        choose_partitioner(settings, settings.behavior_topic, PARTITIONER_LIMIT_S)  # says what producers do wrong
        store.registry.claim(settings.behavior_topic, None if hiding is None else hiding.pseudonyms.fingerprint)
        store.registry.claim_updates(settings.updates_topic, None if noise is None else noise.fingerprint)
        store.registry.announce(bundle, settings.updates_topic)
        store.registry.use_mapping(bundle.bundle_id, decoder.name)
        group_id = settings.consumer_group_id(bundle.bundle_id)
        _load_scipy(bundle, noise)
        opened = _Opened(settings, bundle, store, group_id, tracing, decoder, schemas, encode_updates, hiding, noise)
        return App(settings, group_id, lambda app: _parts(app, opened), announce, instance_id)
    except BaseException:  # The exception of a signal closes the store as well.
        store.close()
        raise


def _load_scipy(bundle: Bundle, noise: UpdateNoise | None) -> None:
    """Load SciPy where next times or noise will be computed. The first batch would otherwise wait for the module."""
    if bundle.manifest.heads or noise is not None:
        importlib.import_module("scipy.special")


class _Opened(NamedTuple):
    """What a worker is made of."""

    settings: Settings
    bundle: Bundle
    store: Store
    group_id: str
    tracing: Tracing | None
    decoder: RecordDecoder
    schemas: Schemas | None
    encode_updates: Encode | None  # None: as JSON
    hiding: Hiding | None  # None: dead letters show their originals
    noise: UpdateNoise | None  # None: updates are exact


def _parts(app: App, opened: _Opened) -> Parts:
    settings, bundle, store, group_id, tracing, decoder, schemas, encode_updates, hiding, noise = opened
    metrics, in_flight, intake = WorkerMetrics(), InFlight(), Intake(settings.batch_max_events)
    publisher = Publisher(settings, group_id)
    assignment = Assignment(app, settings.behavior_topic)
    stepper = Stepper(bundle)
    processor = make_processor(bundle, stepper, settings)
    processor_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="processor")
    scorer_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="scorer")
    rebuilder = Rebuilder(settings, bundle, stepper, metrics, decoder, store.registry.log_of(bundle.bundle_id))
    residency = Residency(processor, store.users, rebuilder, in_flight, metrics, processor_thread, decoder)
    encoder = _output_encoder(settings, bundle, encode_updates, hiding, noise)
    pipeline = _pipeline_type(tracing, settings, group_id)(
        intake=intake,
        processor=processor,
        residency=residency,
        encoder=encoder,
        publisher=publisher,
        rows=store.users,
        in_flight=in_flight,
        metrics=metrics,
        processor_thread=processor_thread,
        scorer_thread=scorer_thread,
    )
    registration = Registration(store.items, store.registry, bundle.bundle_id, bundle.manifest.items, assignment.holds)
    watchdog = Watchdog(settings.stall_limit_s, lambda: in_flight.batches)
    metrics.add_readings(
        lag=lambda: assignment.lag(metrics),
        open_transaction_records=assignment.open_transaction_records,
        users=lambda: len(processor.arena),
        store_retries=lambda: store.session.retries,
        item_vectors=lambda: registration.stored,
        bundle_id=bundle.bundle_id,
        bundle_items=bundle.manifest.items,
    )
    return Parts(
        intake=intake,
        pipeline=pipeline,
        residency=residency,
        handover=_handover(app, opened, encoder, publisher, stepper, metrics),
        registration=registration,
        publisher=publisher,
        endpoints=_endpoints(settings, metrics, watchdog, assignment),
        store=store,
        watchdog=watchdog,
        metrics=metrics,
        tracing=tracing,
        sweep=_sweep(app, opened, assignment, residency, publisher),
        schemas=schemas,
    )


def _handover(
    app: App,
    opened: _Opened,
    encoder: OutputEncoder,
    publisher: Publisher,
    stepper: Stepper,
    metrics: WorkerMetrics,
) -> Handover:
    settings, bundle, store = opened.settings, opened.bundle, opened.store
    source = Source(settings, bundle, store, encoder)
    restored = RestoredStore(settings, bundle, stepper, store, opened.decoder, metrics)
    return Handover(app, source, publisher, store, restored)


def _sweep(
    app: App, opened: _Opened, assignment: Assignment, residency: Residency, publisher: Publisher
) -> Sweep | None:
    ttl_s = row_ttl_s(opened.settings.user_ttl_days)
    if ttl_s is None:
        return None
    return Sweep(
        opened.settings,
        opened.bundle.bundle_id,
        ttl_s,
        assignment.owned,
        residency,
        opened.store.users,
        publisher,
        should_stop=lambda: app.should_stop,
    )


def _endpoints(settings: Settings, metrics: WorkerMetrics, watchdog: Watchdog, assignment: Assignment) -> Endpoints:
    host, port = settings.http_host, settings.http_port
    return Endpoints(host, port, metrics.registry, watchdog.health, assignment.is_settled)


def _output_encoder(
    settings: Settings,
    bundle: Bundle,
    encode_updates: Encode | None,
    hiding: Hiding | None,
    noise: UpdateNoise | None,
) -> OutputEncoder:
    manifest = bundle.manifest
    return OutputEncoder(
        settings.behavior_topic,
        bundle.bundle_id,
        manifest.items,
        manifest.recent_places,
        settings.evaluation_share,
        manifest.bought_places,
        encode_updates,
        hiding,
        noise,
    )


def _pipeline_type(tracing: Tracing | None, settings: Settings, group_id: str) -> Callable[..., Pipeline]:
    """The plain pipeline where traces are off, so that traces cost nothing then."""
    if tracing is None:
        return Pipeline
    topics = (settings.behavior_topic, group_id, settings.evaluation_topic, settings.updates_topic)
    return partial(TracedPipeline, tracing, Places(*topics, settings.keyspace))


def make_processor(bundle: Bundle, stepper: Stepper, settings: Settings) -> Processor:
    """A processor with an empty arena. The states are on the GPU where there is one and the bundle has graphs for it.

    On the CPU the plain graphs cost 5% to 22% less CPU an event than the graphs for a GPU, which pad and copy more.
    """
    arena = Arena(settings.arena_max_users, bundle.manifest.state_width, bundle.manifest.representation_width)
    failure = cuda_failure()
    on_gpu = failure is None and bundle.has_gpu_graphs
    hint = "; export the bundle with --gpu to use the GPU" if failure is None and not on_gpu else ""
    where = "on the GPU" if on_gpu else "on the CPU" + (f": {failure}" if failure else hint)
    print(f"thalweg worker: bundle {bundle.bundle_id}, states {where}", flush=True)
    sample = Sample(settings.behavior_topic, settings.evaluation_share)
    if not on_gpu:
        return Processor(bundle, stepper, arena, sample, settings.user_ttl_ms)
    if bundle.gpu_ranks_in_float16:
        print(f"thalweg worker: {_inexact_ranks(bundle)}", flush=True)
    resident = ResidentStates(bundle, arena.capacity + ROWS_AN_EVENT * settings.batch_max_events)
    return DeviceProcessor(bundle, stepper, arena, resident, sample, settings.user_ttl_ms)


def _inexact_ranks(bundle: Bundle) -> str:
    near = bundle.manifest.parity["half_ranks"]["best_items"]
    return (
        f"ranks are in float16 and not exact: near the top {near['differ_share']:.1%} differ from float32, by up to "
        f"{near['max_abs_difference']} places; export without --half for exact ones"
    )
