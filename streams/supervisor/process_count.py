"""How many worker processes to start: a number, or one for each core that this process may use."""

import argparse
import os
from pathlib import Path

from streams.config.settings import Settings

AUTO = 0
CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


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


def usable_cores(cgroups: Path = CGROUPS, own_cgroup: Path = OWN_CGROUP) -> int:
    """The cores that this process may use by its affinity and by the quotas of its control groups; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min([float(cores), *_quotas(cgroups, own_cgroup)])))


def _quotas(cgroups: Path, own_cgroup: Path) -> list[float]:
    """The quotas in cores of the control group of this process and of the groups above it (version 2)."""
    lines = _read(own_cgroup).splitlines()
    own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    folder = cgroups / own
    quotas = []
    for group in (folder, *folder.parents):
        if not group.is_relative_to(cgroups):
            break
        limit, _, period = _read(group / "cpu.max").strip().partition(" ")
        if limit.isdigit() and period.isdigit():
            quotas.append(int(limit) / int(period))
    return quotas


def _read(file: Path) -> str:
    """The text of a file of the kernel; empty where there is none."""
    try:
        return file.read_text()
    except OSError:
        return ""
