"""What `thalweg up` remembers of the services it started: `local.json` in the home folder."""

import contextlib
import os
from pathlib import Path

import msgspec

from streams.config.settings import home
from streams.local.certificates import write_private
from streams.local.process.processes import is_running

FILE = "local.json"


class LocalState(msgspec.Struct, frozen=True):
    """The settings that reach the services, process ids by service, and the folder of data and logs."""

    access: dict[str, str]
    pids: dict[str, int]
    data_dir: str

    @property
    def secure(self) -> bool:
        return "broker_ca" in self.access

    def running(self) -> dict[str, int]:
        """The process ids that still run."""
        return {name: pid for name, pid in self.pids.items() if _is_ours(pid, self.data_dir)}


def read_state() -> LocalState | None:
    """What the last `up` wrote, None where there is nothing (readable)."""
    try:
        return msgspec.json.decode((home(os.environ) / FILE).read_bytes(), type=LocalState)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def write_state(state: LocalState) -> None:
    file = home(os.environ) / FILE
    write_private(file.with_suffix(".new"), msgspec.json.encode(state, enc_hook=str))  # passwords may be in it
    file.with_suffix(".new").replace(file)


def forget_state() -> None:
    with contextlib.suppress(FileNotFoundError):
        (home(os.environ) / FILE).unlink()


def _is_ours(pid: int, data_dir: str) -> bool:
    """True where the process runs and its command line names the data: an id may belong to another program by now."""
    if not is_running(pid):
        return False
    try:
        return os.fsencode(data_dir) in Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:  # no /proc on this system
        return True
