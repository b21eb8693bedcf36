"""How many worker processes to start: a number, or one for each core that this process may use."""

import argparse

from streams.config.cores import usable_cores
from streams.config.settings import Settings

AUTO = 0


def process_count(text: str) -> int:
    """The value of `--processes`: a number, or `AUTO` for "auto". Raises ArgumentTypeError for anything else."""
    if text == "auto":
        return AUTO
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number of processes above 0 nor 'auto'")
    return int(text)


def automatic_count(settings: Settings) -> int:
    """One process for each usable core, and at most one for each partition of the behaviour topic.

    Creates missing topics, as every worker does. Raises BrokerError, SettingsError.
    """
    from streams.broker.topics import describe_topic, ensure_topics  # loads the Kafka client

    ensure_topics(settings)
    return min(usable_cores(), describe_topic(settings, settings.behavior_topic).partitions)
