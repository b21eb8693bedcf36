"""The few requests of Cassandra's binary protocol that tell whether Cassandra is ready, and that create its user.

Source of the protocol: native_protocol_v4.spec of Apache Cassandra, sections 2 (frames) and 4 (messages).
"""

import contextlib
import socket
import ssl
import struct
from collections.abc import Iterator
from enum import IntEnum

from streams.local.errors import LocalServiceError

PROBE_LIMIT_S = 2.0
DEFAULT_USER = "cassandra"  # the user that Cassandra creates by itself; the password is the same word
_FRAME_HEADER = struct.Struct(">BBhBi")  # version, flags, stream, opcode, length of the body
_PROTOCOL_VERSION = 4
_CONSISTENCY_QUORUM, _NO_FLAGS = 4, 0
# Section 9: the request is valid, and too few nodes answer, or the node is busy or still starts.
_PASSING_ERRORS = (0x1000, 0x2000)


class Opcode(IntEnum):
    """Section 2.4 of the specification."""

    ERROR = 0x00
    STARTUP = 0x01
    READY = 0x02
    AUTHENTICATE = 0x03
    QUERY = 0x07
    RESULT = 0x08
    AUTH_RESPONSE = 0x0F
    AUTH_SUCCESS = 0x10


class CqlConnection:
    """One connection with one request at a time. Every method may raise OSError."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def request(self, opcode: Opcode, body: bytes = b"") -> tuple[int, bytes]:
        """Send a request and return (opcode, body) of the response."""
        self._connection.sendall(_FRAME_HEADER.pack(_PROTOCOL_VERSION, 0, 0, opcode, len(body)) + body)
        _, _, _, response_opcode, length = _FRAME_HEADER.unpack(self._read(_FRAME_HEADER.size))
        return response_opcode, self._read(length)

    def start(self) -> int:
        """Begin, and return the opcode of the response: READY, or AUTHENTICATE where Cassandra asks for a user."""
        return self.request(Opcode.STARTUP, struct.pack(">h", 1) + _string("CQL_VERSION") + _string("3.0.0"))[0]

    def log_in(self, user: str, password: str) -> bool:
        """Returns True when Cassandra accepts the user."""
        if self.start() != Opcode.AUTHENTICATE:
            return False
        token = b"\0" + user.encode() + b"\0" + password.encode()
        opcode, _ = self.request(Opcode.AUTH_RESPONSE, struct.pack(">i", len(token)) + token)
        return opcode == Opcode.AUTH_SUCCESS

    def execute(self, statement: str) -> None:
        """Raises LocalServiceError when Cassandra refuses the statement, and ConnectionError when Cassandra cannot
        execute the statement now. The statement, which may hold a password, is not part of the message.
        """
        text = statement.encode()
        parameters = struct.pack(">hB", _CONSISTENCY_QUORUM, _NO_FLAGS)
        opcode, body = self.request(Opcode.QUERY, struct.pack(">i", len(text)) + text + parameters)
        if opcode == Opcode.RESULT:
            return
        why = body[6:].decode(errors="replace")
        if opcode == Opcode.ERROR and _PASSING_ERRORS[0] <= struct.unpack(">i", body[:4])[0] < _PASSING_ERRORS[1]:
            raise ConnectionError(f"Cassandra cannot execute a statement now: {why}")
        raise LocalServiceError(f"Cassandra refused a statement of its start: {why}")

    def _read(self, count: int) -> bytes:
        read = b""
        while len(read) < count:  # TLS has no MSG_WAITALL
            part = self._connection.recv(count - len(read))
            if not part:
                raise ConnectionResetError("Cassandra closed the connection")
            read += part
        return read


def reaches_majority(host: str, port: int) -> bool:
    """True when the node answers a query that a majority of the nodes has to answer.

    The CQL port is the last part of a node that starts.
    """
    with contextlib.suppress(OSError), _connect(host, port, None) as connection:
        if connection.start() == Opcode.READY:
            connection.execute(f"SELECT role FROM system_auth.roles WHERE role = '{DEFAULT_USER}'")
            return True
    return False


def replace_default_user(host: str, port: int, context: ssl.SSLContext, user: str, password: str) -> bool:
    """True when Cassandra accepts the user and the default user is gone. The caller repeats the call until then.

    Cassandra without any user creates the default user, whose password everybody knows, a moment after the port opens.
    One call lets the default user create our user. A later call lets our user drop the default user.
    """
    with contextlib.suppress(OSError):
        with _connect(host, port, context) as connection:
            if connection.log_in(user, password):
                connection.execute(f"DROP ROLE IF EXISTS {DEFAULT_USER}")
                return True
        with _connect(host, port, context) as connection:
            if connection.log_in(DEFAULT_USER, DEFAULT_USER):
                options = f"PASSWORD = '{password}' AND LOGIN = true AND SUPERUSER = true"
                connection.execute(f"CREATE ROLE IF NOT EXISTS {user} WITH {options}")
    return False


@contextlib.contextmanager
def _connect(host: str, port: int, context: ssl.SSLContext | None) -> Iterator[CqlConnection]:
    with socket.create_connection((host, port), timeout=PROBE_LIMIT_S) as connection:
        if context is None:
            yield CqlConnection(connection)
        else:
            with context.wrap_socket(connection, server_hostname=host) as encrypted:
                yield CqlConnection(encrypted)


def _string(text: str) -> bytes:
    """The protocol's [string]: the length in two bytes, then UTF-8."""
    return struct.pack(">h", len(text)) + text.encode()
