"""The GRANT that gives a user of Cassandra the right that a request lacked. Pure.

Cassandra's message names the user, the right and the resource: `User u has no MODIFY permission on <table k.t> or any
of its parents` (org.apache.cassandra.service.ClientState.ensurePermission).
"""

import re

_LACKS = re.compile(r"User (?P<user>\S+) has no (?P<right>[A-Z_]+) permission on <(?P<resource>[^>]+)>")


def grant_text(message: str) -> str:
    """`; GRANT ... TO ...` to be appended to a message about a request. Empty where no right was missing."""
    lacks = _LACKS.search(message)
    if lacks is None:
        return ""
    *kind, name = lacks["resource"].removeprefix("all tables in ").split()
    resource = "ALL KEYSPACES" if name == "keyspaces" else f"{' '.join(kind or ['keyspace']).upper()} {name}"
    return f"; run as an administrator: GRANT {lacks['right']} ON {resource} TO {lacks['user']}"
