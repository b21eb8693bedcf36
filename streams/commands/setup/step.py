"""What became of one thing that `thalweg setup` makes."""

from typing import Literal, NamedTuple

State = Literal["made", "exists", "differs", "skipped"]


class Step(NamedTuple):
    """One line of the output. `differs`: the thing exists with other settings, and was left as it is."""

    state: State
    what: str
    detail: str = ""
