"""`local.json` in the home folder: what `thalweg up` records about the services that it started."""

import contextlib
import os
from pathlib import Path

import msgspec

from streams.config.local_state import home, read_local_state
from streams.local.private_file import write_private_file
from streams.local.process.process_ids import is_running

FILE = "local.json"


class LocalState(msgspec.Struct, frozen=True):
    """The content of `local.json`."""

    client_settings: dict[str, str | int] = msgspec.field(name="access")  # the settings with which a client connects
    pids: dict[str, int]  # by the folder of the node
    data_dir: str  # folder of data and logs

    @property
    def is_secure(self) -> bool:
        return "broker_ca" in self.client_settings

    @property
    def nodes(self) -> int:
        """The number of nodes of each service."""
        return len(str(self.client_settings["broker"]).split(","))

    def running_pids(self) -> dict[str, int]:
        """The processes that still run, by the folder of the node."""
        return {name: pid for name, pid in self.pids.items() if _runs_on(pid, self.data_dir)}


def read_state() -> LocalState | None:
    """The state that the last `thalweg up` wrote; None without a file, or when the file cannot be decoded.

    Raises SettingsError when the file cannot be read.
    """
    try:
        return msgspec.json.decode(read_local_state(os.environ), type=LocalState)
    except msgspec.MsgspecError:
        return None


def write_state(state: LocalState) -> None:
    """Replace the file in one step. The file is private because the settings may hold passwords."""
    file = home(os.environ) / FILE
    write_private_file(file.with_suffix(".new"), msgspec.json.encode(state, enc_hook=str))
    file.with_suffix(".new").replace(file)


def delete_state() -> None:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        (home(os.environ) / FILE).unlink()


def _runs_on(pid: int, data_dir: str) -> bool:
    """True when the process runs and its command line names the data folder.

    The system may have given the id of an ended service to another program.
    """
    if not is_running(pid):
        return False
    try:
        return os.fsencode(data_dir) in Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:  # this system has no /proc
        return True
