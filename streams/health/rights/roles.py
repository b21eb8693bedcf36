"""The programs that need rights. Pure."""

from typing import Literal, get_args

Role = Literal[
    "worker",
    "serve",
    "monitor",
    "replay",
    "items",
    "verify",
    "dlq",
    "erase",
    "subject",
    "rekey",
    "bundles",
    "promote",
    "rollback",
    "retire",
    "archive",
    "backfill",
]
ROLES: tuple[Role, ...] = get_args(Role)
