#!/usr/bin/env bash
# cassandra-driver 3.30.1: the answer of a lightweight transaction whose outcome is unknown is no DriverException.
#
# Expected: the driver speaks protocol v5, and every error of that protocol becomes a subclass of
#   `cassandra.DriverException`, as a timeout does. A program that catches DriverException and NoHostAvailable has all.
# Behaviour: the code 0x1700, CAS_WRITE_UNKNOWN of native_protocol_v5.spec (section 8), is no known code. The application
#   gets a `cassandra.protocol.ErrorMessage`, whose only other base is Exception, without the consistency level and the
#   two counts that the frame holds.
# Why it matters: Cassandra 5.0.6 sends this error when several programs send lightweight transactions for one row at the
#   same time, for example when they start together and each claims the right to make the tables. Their handling of
#   errors is passed by, and they end with a traceback.
#
# The script decodes a valid ERROR frame (protocol v5): code 0x1700, a message, SERIAL, 1 answer received, 2 required.
# Next to it stands a WRITE_TIMEOUT, which becomes a DriverException.
# Output seen on 2026-11-30: "0x1100 becomes WriteTimeout, a DriverException: True
#   0x1700 becomes ErrorMessage, a DriverException: False; info: None"
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check cassandra-driver==3.30.1
"$folder/venv/bin/python" - <<'PYTHON'
import struct

from cassandra import DriverException
from cassandra.protocol import ErrorMessage, ProtocolHandler

SERIAL, RECEIVED, REQUIRED = 0x0008, 1, 2


def text(value):
    return struct.pack(">H", len(value)) + value


def decoded(code, further=b""):
    counts = struct.pack(">Hii", SERIAL, RECEIVED, REQUIRED)
    frame = struct.pack(">i", code) + text(b"the outcome") + counts + further
    message = ProtocolHandler.decode_message(5, {}, 0, 0, ErrorMessage.opcode, frame, None, None)
    return message, message.to_exception()


_, timeout = decoded(0x1100, text(b"SIMPLE"))
print(f"0x1100 becomes {type(timeout).__name__}, a DriverException: {isinstance(timeout, DriverException)}")
message, unknown = decoded(0x1700)
print(
    f"0x1700 becomes {type(unknown).__name__}, a DriverException: {isinstance(unknown, DriverException)}; "
    f"info: {message.info}"
)
assert isinstance(timeout, DriverException)
assert type(unknown) is ErrorMessage and not isinstance(unknown, DriverException), "the code is known now"
assert message.info is None
PYTHON
