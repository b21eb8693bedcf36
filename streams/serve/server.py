"""The server around the application: what the routes ask, what runs in the background, and uvicorn."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import uvicorn
from threadpoolctl import threadpool_limits

from export.runtime.bundle import Bundle
from streams.broker.decoding.pseudonym_key import open_pseudonyms
from streams.broker.decoding.record_decoder import open_decoder
from streams.commands.erase.erasure import Erasure
from streams.config.errors import RightsError, StoreError, ThalwegError
from streams.config.settings import Settings
from streams.health.rights.check import check_broker_rights, check_store_rights
from streams.health.rights.kafka_rights import LOOKALIKES
from streams.serve.application import Sources, make_application
from streams.serve.catalogue.follower import CatalogueFollower
from streams.serve.catalogue.progress import Progress
from streams.serve.catalogue.served import ServedCatalogue
from streams.serve.explanations.history import HistoryReader
from streams.serve.http.limited_connection import LimitedConnection
from streams.serve.http.middleware import Application
from streams.serve.http.tokens import Tokens
from streams.serve.live.live import Live
from streams.serve.lookalikes.follower import LookalikeFollower
from streams.serve.scoring.active_model import ActiveModel
from streams.store.bundles.held_rows import HeldRows
from streams.store.registry import Registry
from streams.store.session import Session

GRACE_S = 10  # for requests that are being answered when the server is asked to stop
logger = logging.getLogger(__name__)

BACKLOG = 2_048
# A reader waits meanwhile. A node that is dead or frozen would otherwise cost each request a second.
ASK_ANOTHER_S = 0.1
FIRST_READING_S = 10.0  # of the catalogue; afterwards, requests that need the catalogue are answered with 503


class Followers:
    """What a server follows besides requests: the active bundle, the catalogue, and the topics of the page."""

    def __init__(
        self, settings: Settings, bundles: Sequence[Bundle], session: Session, threads: Executor, has_lookalikes: bool
    ) -> None:
        pseudonyms = open_pseudonyms(settings)
        stored_id = str if pseudonyms is None else pseudonyms.stored
        self._progress = Progress()
        self._active = ActiveModel(bundles, session, settings.keyspace, threads, stored_id)
        self._catalogue = CatalogueFollower(settings, self._progress)
        registry = Registry(session, settings.keyspace)

        def topic_of(bundle_id: str) -> str:
            return registry.settings_of(settings, bundle_id).updates_topic

        self._lookalikes = LookalikeFollower(settings, bundles, topic_of) if has_lookalikes else None
        self.live = Live(settings, self._active.current, topic_of)
        self.sources = Sources(
            self._active.current,
            lambda user_id: Erasure(settings, session, user_id, pseudonyms),
            ServedCatalogue(self._progress),
            self.live,
            HistoryReader(settings, session, open_decoder(settings)),
            self._lookalikes,
        )

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Follow everything inside the block.

        Until a bundle is found, every answer says what is missing. The server begins to answer when the catalogue was
        read, so that no item is recommended in the first second that is not available.
        """
        tasks = [asyncio.create_task(self._active.follow()), asyncio.create_task(self._catalogue.follow())]
        try:
            await self._catalogue.wait_for_first_reading(FIRST_READING_S)
            async with contextlib.nullcontext() if self._lookalikes is None else self._lookalikes.following():
                yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)  # The consumer of the catalogue closes connections.
            await self.live.close()


def serve(
    settings: Settings,
    bundles: Sequence[Bundle],
    listening: socket.socket,
    tokens: Tokens | None,
    certificate: Path | None,
    key: Path | None,
    has_lookalikes: bool,
) -> None:
    """Serve on a bound socket until SIGTERM or Ctrl-C. certificate, key: PEM files; None: no TLS. Raises StoreError."""
    for client in ("aiokafka", "kafka"):  # the clients log every retry, and the readers of the topics say what failed
        logging.getLogger(client).setLevel(logging.CRITICAL)
    session = Session(settings, ASK_ANOTHER_S)
    try:
        _check_rights(settings, session, bundles, has_lookalikes)
        _check_key(settings, session)
        with ThreadPoolExecutor(1, "scores") as threads, threadpool_limits(1, "blas"):
            followers = Followers(settings, bundles, session, threads, has_lookalikes)
            application = make_application(followers.sources, tokens, followers.following)
            server = uvicorn.Server(_configuration(application, certificate, key))
            followers.live.is_ending = lambda: server.should_exit
            scheme = "http" if certificate is None else "https"
            host, port = listening.getsockname()[:2]
            address = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
            print(f"serve: the page is {address}/ and the document of the API is {address}/openapi.json", flush=True)
            server.run([listening])
    finally:
        session.close()


def _check_rights(settings: Settings, session: Session, bundles: Sequence[Bundle], has_lookalikes: bool) -> None:
    """Raises RightsError for a missing right without which the server would have no answer, and StoreError.

    A warning names missing rights of parts of the server. The server also starts while Kafka is away.
    """
    check_store_rights(settings, session, "serve", bundles)
    try:
        uses = [LOOKALIKES] if has_lookalikes else []
        for of_bundle in _by_topic(settings, session, bundles):
            check_broker_rights(of_bundle, "serve", bundles[0].bundle_id, uses)
    except RightsError:
        raise
    except ThalwegError as error:
        logger.warning("the rights on Kafka are not checked: %s", error)


def _check_key(settings: Settings, session: Session) -> None:
    """Raises SettingsError where the rows hold plain ids, or pseudonyms of another key than that of the settings.

    A server without a key serves rows of pseudonyms to callers who know pseudonyms. A server without the right to read
    the table of the key starts with a warning.
    """
    pseudonyms = open_pseudonyms(settings)
    if pseudonyms is None:
        return
    try:
        HeldRows(session, settings.keyspace).check_key(pseudonyms.fingerprint)
    except StoreError as error:
        logger.warning("the key of pseudonyms is not compared with the key of the keyspace: %s", error)


def _by_topic(settings: Settings, session: Session, bundles: Sequence[Bundle]) -> Iterable[Settings]:
    """The settings for each updates topic of the bundles; as they are where Cassandra does not tell the topics."""
    registry = Registry(session, settings.keyspace)
    try:
        found = [registry.settings_of(settings, bundle.bundle_id) for bundle in bundles]
    except StoreError:  # There is no keyspace yet, or this client may not read the bundles.
        return [settings]
    return {one.updates_topic: one for one in found}.values()


def _configuration(application: Application, certificate: Path | None, key: Path | None) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        log_config=None,
        access_log=False,  # the line of `streams.serve.http.middleware` has no user ids
        http=LimitedConnection,
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        backlog=BACKLOG,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
