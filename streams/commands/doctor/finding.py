"""What one check of `thalweg doctor` found."""

from typing import Literal, NamedTuple

State = Literal["ok", "note", "failed"]


class Finding(NamedTuple):
    """One line of the output. A worker runs despite a `note`, and does not run when a check `failed`."""

    state: State
    subject: str
    detail: str
    remedy: str = ""
