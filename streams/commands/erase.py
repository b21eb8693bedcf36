"""`thalweg erase`: sends the erasure of a user to the behaviour topic, in order with the user's events."""

import argparse

from streams.broker.topics import describe_topic
from streams.commands.replay.producer import Replay
from streams.config.errors import InputError
from streams.config.settings import Settings, load_settings
from streams.engine.codec import Rejected, decode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("user", help="user_id of the user to erase")


def run(args: argparse.Namespace) -> int:
    """Send the erasure. The behaviour topic must exist."""
    settings = load_settings()
    describe_topic(settings, settings.behavior_topic)
    erase(settings, args.user)
    print(f"erase: user {args.user!r} is erased when a worker has read the record that was just sent")
    return 0


def erase(settings: Settings, user_id: str) -> None:
    """Send a record with the user as the key and a null value, confirmed. Raises InputError, BrokerError."""
    key = user_id.encode("utf-8", "surrogateescape")  # the bytes of the command line as they were
    outcome = decode(key, None, 0)
    if isinstance(outcome, Rejected):
        raise InputError(f"{user_id!r} cannot be a user_id: {outcome.reason}")
    Replay(settings, settings.behavior_topic).run([(key, None)])
