"""The few requests of Cassandra's binary protocol that tell whether it answers, and give it its first user."""

import contextlib
import socket
import ssl
import struct
from collections.abc import Iterator

from streams.local.errors import LocalServiceError

PROBE_LIMIT_S = 2.0
# native_protocol_v4.spec, section 2.4
ERROR, STARTUP, AUTHENTICATE, OPTIONS, SUPPORTED, QUERY, RESULT, AUTH_RESPONSE, AUTH_SUCCESS = (
    *(0x00, 0x01, 0x03, 0x05, 0x06),
    *(0x07, 0x08, 0x0F, 0x10),
)
_HEADER = struct.Struct(">BBhBi")  # version, flags, stream, opcode, length of the body
_QUORUM, _NO_FLAGS = 4, 0
DEFAULT_USER = "cassandra"  # whom Cassandra makes for itself, with this password


class Conversation:
    """One connection: requests and their answers, one after the other. Every OSError is the caller's."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def ask(self, opcode: int, body: bytes = b"") -> tuple[int, bytes]:
        """(opcode, body) of the answer."""
        self._connection.sendall(_HEADER.pack(0x04, 0, 0, opcode, len(body)) + body)
        _, _, _, answer, length = _HEADER.unpack(self._read(_HEADER.size))
        return answer, self._read(length)

    def log_in(self, user: str, password: str) -> bool:
        """True where Cassandra takes the user."""
        opcode, _ = self.ask(STARTUP, struct.pack(">h", 1) + _string("CQL_VERSION") + _string("3.0.0"))
        if opcode != AUTHENTICATE:
            return False
        token = b"\0" + user.encode() + b"\0" + password.encode()
        return self.ask(AUTH_RESPONSE, struct.pack(">i", len(token)) + token)[0] == AUTH_SUCCESS

    def execute(self, statement: str) -> None:
        """Raises LocalServiceError where Cassandra refuses it, without the statement: it may hold a secret."""
        text = statement.encode()
        opcode, body = self.ask(QUERY, struct.pack(">i", len(text)) + text + struct.pack(">hB", _QUORUM, _NO_FLAGS))
        if opcode != RESULT:
            raise LocalServiceError(f"Cassandra refused to set up its user: {body[6:].decode(errors='replace')}")

    def _read(self, count: int) -> bytes:
        read = b""
        while len(read) < count:  # MSG_WAITALL is not for TLS
            part = self._connection.recv(count - len(read))
            if not part:
                raise ConnectionResetError("Cassandra closed the connection")
            read += part
        return read


def speaks_cql(host: str, port: int) -> bool:
    """True where Cassandra answers an OPTIONS request (its last part to start)."""
    with contextlib.suppress(OSError), _conversation(host, port, None) as cql:
        return cql.ask(OPTIONS)[0] == SUPPORTED
    return False


def is_locked(host: str, port: int, context: ssl.SSLContext, user: str, password: str) -> bool:
    """True where Cassandra takes this user and knows no default one. Call it again until it is.

    Cassandra makes the default user with a password that everybody knows, a moment after its port opens, and only
    where there is no user yet. It makes ours, which then deletes it.
    """
    with contextlib.suppress(OSError):
        with _conversation(host, port, context) as cql:
            if cql.log_in(user, password):
                cql.execute(f"DROP ROLE IF EXISTS {DEFAULT_USER}")
                return True
        with _conversation(host, port, context) as cql:
            if cql.log_in(DEFAULT_USER, DEFAULT_USER):
                options = f"PASSWORD = '{password}' AND LOGIN = true AND SUPERUSER = true"
                cql.execute(f"CREATE ROLE IF NOT EXISTS {user} WITH {options}")
    return False


@contextlib.contextmanager
def _conversation(host: str, port: int, context: ssl.SSLContext | None) -> Iterator[Conversation]:
    with socket.create_connection((host, port), timeout=PROBE_LIMIT_S) as connection:
        if context is None:
            yield Conversation(connection)
        else:
            with context.wrap_socket(connection, server_hostname=host) as encrypted:
                yield Conversation(encrypted)


def _string(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()
