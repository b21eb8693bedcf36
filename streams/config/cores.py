"""The cores that this process may use."""

import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


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
