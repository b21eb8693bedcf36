#!/usr/bin/env bash
# cassandra-driver 3.30.1: a request leaves the process in parts of 4,096 bytes, one `send` call for each part.
#
# Expected: a request that is encoded as one message is handed to the socket as a whole. The socket takes what fits.
# Behaviour: `Connection.out_buffer_size` is 4,096. `LibevConnection.push` cuts each message into parts of this size, and
#   `handle_write` calls `send` for each part. No option of `Cluster` names the size.
# Why it matters: an unlogged batch of 48 KiB is 12 calls. With TCP_NODELAY, each call is a packet of its own that wakes
#   the server. Before each call, the driver's thread takes Python's interpreter lock again, for which the thread may wait
#   a switch interval (5 ms by default) where other threads compute.
#
# The script connects the driver's libev connection to a server of a few lines, which answers the two messages of a
# handshake of native protocol v4, and counts the calls of `send` for one message of 48 KiB. A subclass with a larger
# `out_buffer_size` does the same.
# Output seen on 2026-11-28: "49152 bytes: 12 calls of send by default, 1 with a larger out_buffer_size"
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check cassandra-driver==3.30.1
"$folder/venv/bin/python" - <<'PYTHON'
import socket
import struct
import threading
import time

from cassandra.connection import DefaultEndPoint
from cassandra.io.libevreactor import LibevConnection

BYTES = 48 * 1024
OPTIONS, SUPPORTED, READY = 0x05, 0x06, 0x02  # opcodes: native_protocol_v4.spec, 2.4
HEADER = struct.Struct(">BBhBi")



def text(value):
    return struct.pack(">H", len(value)) + value


def options(name, value):
    return text(name) + struct.pack(">H", 1) + text(value)


SUPPORTED_OPTIONS = struct.pack(">H", 2) + options(b"CQL_VERSION", b"3.4.7") + options(b"COMPRESSION", b"lz4")
listener = socket.create_server(("127.0.0.1", 0))
port = listener.getsockname()[1]


def answer(client):
    """Answer OPTIONS with two options and STARTUP with READY, then read everything."""
    file = client.makefile("rb")
    for _ in range(2):
        _, _, stream, opcode, size = HEADER.unpack(file.read(HEADER.size))
        file.read(size)
        reply, body = (SUPPORTED, SUPPORTED_OPTIONS) if opcode == OPTIONS else (READY, b"")
        client.sendall(HEADER.pack(0x84, 0, stream, reply, len(body)) + body)
    while file.read(65_536):
        pass


def accept():
    while True:
        client, _ = listener.accept()
        threading.Thread(target=answer, args=[client], daemon=True).start()


threading.Thread(target=accept, daemon=True).start()


class Counting:
    """A socket that notes the size of each send."""

    def __init__(self, inner):
        self.inner, self.sizes = inner, []

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def send(self, data):
        sent = self.inner.send(data)
        self.sizes.append(sent)
        return sent


class Larger(LibevConnection):
    out_buffer_size = 256 * 1024


def calls(kind):
    connection = kind.factory(DefaultEndPoint("127.0.0.1", port), 5, protocol_version=4, compression=False)
    connection._socket = counting = Counting(connection._socket)
    connection.push(bytes(BYTES))
    deadline = time.monotonic() + 5
    while sum(counting.sizes) < BYTES and time.monotonic() < deadline:
        time.sleep(0.01)
    assert sum(counting.sizes) == BYTES, counting.sizes
    return len(counting.sizes)


LibevConnection.initialize_reactor()
by_default, larger = calls(LibevConnection), calls(Larger)
print(f"{BYTES} bytes: {by_default} calls of send by default, {larger} with a larger out_buffer_size")
assert by_default >= BYTES // 4096, "a message leaves in larger parts: the finding is over"
PYTHON
