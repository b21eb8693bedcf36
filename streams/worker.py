"""`thalweg worker`: one process that follows the behaviour topic and keeps representations current.

It ends with an exception's text and exit code 1 where it cannot go on; whatever runs it (systemd, Kubernetes, compose)
starts it again, and it goes on from the last commit.
"""

import argparse
import logging

import faust

from export.bundle import Bundle
from streams import app as application
from streams.agents import Pipeline
from streams.arena import Arena
from streams.measures import Measures
from streams.names import bundle_path
from streams.processor import Processor
from streams.publisher import Publisher
from streams.settings import load_settings
from streams.stepper import Stepper
from streams.store import Store
from streams.topics import describe_topic, ensure_topics


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", help="folder of the bundle (default: the setting `bundle`)")
    parser.add_argument("--log-level", default="WARNING", choices=["DEBUG", "INFO", "WARNING", "ERROR"])


def run(args: argparse.Namespace) -> int:
    settings = load_settings()
    bundle = Bundle.load(bundle_path(args.bundle, settings))
    logging.basicConfig(level=args.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    ensure_topics(settings)
    store = Store(settings, bundle)
    store.connect()
    topic = describe_topic(settings, settings.behavior_topic)
    store.take_position(settings.behavior_topic, topic.topic_id, topic.partitions)
    stepper = Stepper(bundle)
    print(f"thalweg worker: bundle {bundle.bundle_id} on {stepper.provider}", flush=True)
    arena = Arena(settings.arena_max_users, bundle.manifest.state_width, bundle.manifest.representation_width)
    measures = Measures()
    measures.users.set_function(lambda: len(arena))
    measures.store_retries.set_function(lambda: store.retries)
    publisher = Publisher(settings, bundle.bundle_id, bundle.manifest.items)
    pipeline = Pipeline(Processor(bundle, stepper, arena), store, publisher, measures)
    app = application.build(settings, bundle, pipeline, store, publisher, measures)
    worker = faust.Worker(app, loglevel=args.log_level, redirect_stdouts=False, quiet=True)
    worker.spinner = None  # its escape codes would stand in every log
    worker.execute_from_commandline()
    return 0
