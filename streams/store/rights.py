"""What Cassandra's messages say of rights and logins: the GRANT for a missing right, and roles that no node can read.

Pure.

- A right is missing: `User u has no MODIFY permission on <table k.t> or any of its parents`
  (org.apache.cassandra.service.ClientState.ensurePermission). The message names the user, the right and the resource.
- A node could not check a right: code 2100, as for a missing right, and `Unable to perform authorization of
  permissions: Cannot achieve consistency level LOCAL_QUORUM`, also `of super-user permission` and `of login permission`
  (CassandraAuthorizer, Roles; Cassandra 5.0.6).
- A node could not check a login: code 0100, as for a wrong password, and `Unable to perform authentication: ...`
  (PasswordAuthenticator, ClientState; Cassandra 5.0.6). A failure of another kind keeps its own code.
"""

import re

_LACKS = re.compile(r"User (?P<user>\S+) has no (?P<right>[A-Z_]+) permission on <(?P<resource>[^>]+)>")
_UNCHECKED = re.compile(r"Unable to perform (authentication|authorization of [\w -]+):")
# A node that refuses a login answers with code 0100 (bad credentials).
_FAILED_LOGIN = re.compile(r"Error from server: code=(?!0100)")

UNREAD_ROLES = (
    "Cassandra cannot read its roles now: too few replicas of keyspace system_auth answer; start the nodes that are "
    "down, and let system_auth have as many replicas as the keyspace of Thalweg (docs/cassandra.md#consistency)"
)


def could_not_check(message: str) -> bool:
    """Whether a node could not read its roles, so that nothing was refused and a later try may succeed."""
    return _UNCHECKED.search(message) is not None


def could_not_check_login(message: str) -> bool:
    """Whether a node failed to check a login. False where the node refused the user or the password."""
    return could_not_check(message) or _FAILED_LOGIN.search(message) is not None


def remedy_text(message: str) -> str:
    """What to do about missing rights or unread roles, to be appended to a message about a request. May be empty."""
    return f"; {UNREAD_ROLES}" if could_not_check(message) else grant_text(message)


def grant_text(message: str) -> str:
    """`; GRANT ... TO ...` to be appended to a message about a request. Empty where no right was missing."""
    lacks = _LACKS.search(message)
    if lacks is None:
        return ""
    *kind, name = lacks["resource"].removeprefix("all tables in ").split()
    resource = "ALL KEYSPACES" if name == "keyspaces" else f"{' '.join(kind or ['keyspace']).upper()} {name}"
    return f"; run as an administrator: GRANT {lacks['right']} ON {resource} TO {lacks['user']}"
