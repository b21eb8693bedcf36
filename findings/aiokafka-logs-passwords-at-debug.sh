#!/usr/bin/env bash
# aiokafka 0.14.0: at level DEBUG, the log holds the password of SASL/PLAIN and the token of SASL/OAUTHBEARER.
#
# Expected: a log holds no secret at any level. The client of Java logs requests of a login without their content.
# Behaviour: `AIOKafkaConnection.send` logs every request, also SaslAuthenticateRequest with its bytes.
# Why it matters: people send a log at level DEBUG to others when a connection fails, which is when a login is wrong.
#
# The script logs in to a server of 20 lines that answers as a broker does.
# Output seen on 2026-11-29: "1 line of the log holds the password: Request to 127.0.0.1:... 3:
#   SaslAuthenticateRequest_v1(sasl_auth_bytes=b'anna\x00anna\x00not-to-be-seen')"
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check aiokafka==0.14.0
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import logging
import struct

from aiokafka.conn import create_conn

PASSWORD = "not-to-be-seen"
API_VERSIONS, SASL_HANDSHAKE, SASL_AUTHENTICATE = 18, 17, 36
APIS = b"".join(struct.pack(">hhh", key, 0, newest) for key, newest in ((17, 1), (18, 0), (36, 1)))
BODIES = {
    API_VERSIONS: struct.pack(">hi", 0, 3) + APIS,
    SASL_HANDSHAKE: struct.pack(">hih", 0, 1, 5) + b"PLAIN",
    SASL_AUTHENTICATE: struct.pack(">hhiq", 0, -1, 0, 0),
}


async def serve(reader, writer):
    for _ in BODIES:
        (size,) = struct.unpack(">i", await reader.readexactly(4))
        key, _, correlation_id = struct.unpack(">hhi", (await reader.readexactly(size))[:8])
        body = struct.pack(">i", correlation_id) + BODIES[key]
        writer.write(struct.pack(">i", len(body)) + body)


async def main():
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logging.basicConfig(level=logging.DEBUG, handlers=[handler])
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    login = {"sasl_mechanism": "PLAIN", "sasl_plain_username": "anna", "sasl_plain_password": PASSWORD}
    connection = await create_conn("127.0.0.1", port, security_protocol="SASL_PLAINTEXT", **login)
    connection.close()
    server.close()
    found = [line for line in lines if PASSWORD in line]
    print(f"{len(found)} line of the log holds the password: {found[0] if found else ''}")
    assert found, "the log holds no password: the finding is over"


asyncio.run(main())
PYTHON
