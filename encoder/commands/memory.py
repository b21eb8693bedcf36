"""How much memory a command may still take, and the check before a training."""

from pathlib import Path

from rich.console import Console

from encoder.commands.size_estimate import SizeEstimate
from encoder.errors import InputError
from encoder.training.settings import TrainingSettings

_GROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")
_GIB = 2**30


def available_bytes(meminfo: Path = _MEMINFO, group: Path = _GROUP) -> int | None:
    """The memory that the machine and the control group of a container leave. None where neither can be read."""
    found = [*_of_machine(meminfo), *_of_group(group)]
    return min(found, default=None)


def _of_machine(meminfo: Path) -> list[int]:
    try:
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
        return [int(lines["MemAvailable"].split()[0]) * 1024]
    except (OSError, KeyError, ValueError):
        return []


def _of_group(group: Path) -> list[int]:
    """Version 2 of control groups: https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files"""
    try:
        limit, used = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
        cache = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        # The group's files in memory make room when a process needs memory.
        return [int(limit) - int(used) + int(cache.get("inactive_file", 0))]
    except (OSError, ValueError):  # a group without a limit has the limit `max`
        return []


def check_memory(events: int, items: int, settings: TrainingSettings, console: Console) -> None:
    """Print what a training is expected to need. Raises InputError when the memory that is left is less."""
    estimate, left = SizeEstimate.of(events, items, settings), available_bytes()
    of_left = "" if left is None else f" of {left / _GIB:.1f} GiB that are left"
    console.print(
        f"expected: about {estimate.memory_bytes / _GIB:.1f} GiB of memory{of_left}; an epoch takes about "
        f"{estimate.epoch_s:,.0f} s of one core, and a training has at most {2 * settings.max_epochs} epochs",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    if left is not None and estimate.memory_bytes > left:
        share = max(0.01, left / estimate.memory_bytes * 0.9)
        raise InputError(
            f"a training on {events:,} events and {items:,} items needs about {estimate.memory_bytes / _GIB:.1f} GiB "
            f"beside the log, and {left / _GIB:.1f} GiB of memory are left: train on a sample of the users with "
            f"--sample-users {share:.2g}, on a part of the log with --rest, or on a machine with more memory"
        )
