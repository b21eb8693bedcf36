"""What Astra puts in front of Cassandra: a metadata service, and a proxy that chooses the node by the server's name."""

import contextlib
import json
import socket
import ssl
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.integration.logins.json_answer import answer

CHUNK_BYTES = 65536


class Astra:
    """Both servers, each with a certificate of its own, for one node. `names`: the server names of all connections."""

    def __init__(self, server: str, client_ca: Path, node: tuple[str, int], node_context: ssl.SSLContext) -> None:
        self.names: list[str | None] = []
        self.protocol_versions: set[int] = set()
        self.host_id = ""
        self._node, self._node_context = node, node_context
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(server)
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
        context.sni_callback = self._note_name
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._context = context
        self._metadata = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        metadata_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        metadata_context.load_cert_chain(server)
        self._metadata.socket = metadata_context.wrap_socket(self._metadata.socket, server_side=True)
        threading.Thread(target=self._metadata.serve_forever, daemon=True).start()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._metadata.shutdown()
        self._metadata.server_close()
        self._listener.close()

    def write_bundle(self, file: Path, ca: Path, certificate: str, key: str) -> Path:
        """Write the zip file with which a client finds the metadata service."""
        config = {
            "host": "localhost",
            "port": self._metadata.server_address[1],
            "keyspace": "",
            "localDC": "datacenter1",
        }
        with zipfile.ZipFile(file, "w") as bundle:
            bundle.writestr("config.json", json.dumps(config))
            for name, source in (("ca.crt", ca), ("cert", certificate), ("key", key)):
                bundle.write(source, name)
        return file

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        astra = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                contact = {
                    "type": "sni_proxy",
                    "local_dc": "datacenter1",
                    "contact_points": [astra.host_id],
                    "sni_proxy_address": f"localhost:{astra._listener.getsockname()[1]}",
                }
                answer(self, 200, {"version": 1, "contact_info": contact})

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def _note_name(self, _: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> int | None:
        self.names.append(name)
        return None if name == self.host_id else ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=self._listener.accept()[:1], daemon=True).start()

    def _serve(self, accepted: socket.socket) -> None:
        with contextlib.suppress(OSError), self._both_sides(accepted) as (client, node):
            back = threading.Thread(target=_copy, args=(node, client), daemon=True)
            back.start()
            first = client.recv(CHUNK_BYTES)
            self.protocol_versions.add(first[0])
            node.sendall(first)
            _copy(client, node)
            back.join()

    @contextlib.contextmanager
    def _both_sides(self, accepted: socket.socket) -> Iterator[tuple[ssl.SSLSocket, ssl.SSLSocket]]:
        with (
            self._context.wrap_socket(accepted, server_side=True) as client,
            socket.create_connection(self._node) as plain,
            self._node_context.wrap_socket(plain, server_hostname=self._node[0]) as node,
        ):
            yield client, node


def _copy(source: ssl.SSLSocket, target: ssl.SSLSocket) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(CHUNK_BYTES):
            target.sendall(part)
    for side in (source, target):
        with contextlib.suppress(OSError):
            side.shutdown(socket.SHUT_RDWR)
