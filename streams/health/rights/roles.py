"""The programs that need rights. Pure."""

from typing import Literal, get_args

Role = Literal["worker", "serve", "monitor", "replay", "items", "verify", "dlq", "erase", "subject", "rekey"]
ROLES: tuple[Role, ...] = get_args(Role)
