#!/usr/bin/env bash
# kafka-python 3.0.12: `KafkaAdminClient.describe_features` returns another form than its documentation says.
#
# Expected, by the docstring: a dict with the keys `supported_features`, `finalized_features` (feature -> levels) and
#   `finalized_features_epoch`.
# Behaviour: a dict by feature. Each value has the key `supported`, and `finalized` and `finalized_epoch` where the
#   feature has a level above 0.
# Why it matters: a program that is written from the documentation fails with a KeyError.
#
# The script calls the method with the answer of a broker that supports one feature and has finalized it at level 1.
# Output seen on 2026-11-29: "promised: finalized_features, finalized_features_epoch, supported_features; returned:
#   {'group.version': {'supported': (0, 1), 'finalized': (1, 1), 'finalized_epoch': 7}}" (in one line)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check kafka-python==3.0.12
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import re
from types import SimpleNamespace

from kafka.admin import KafkaAdminClient

ANSWER = SimpleNamespace(
    error_code=0,
    finalized_features_epoch=7,
    supported_features=[SimpleNamespace(name="group.version", min_version=0, max_version=1)],
    finalized_features=[SimpleNamespace(name="group.version", min_version_level=1, max_version_level=1)],
)


class Connection:
    """What the admin client sends requests through."""

    config = {"client_software_name": "finding", "client_software_version": "1"}

    async def send(self, request):
        return ANSWER

    def run(self, method, *arguments):
        return asyncio.run(method(*arguments))


admin = KafkaAdminClient.__new__(KafkaAdminClient)
admin._manager = Connection()
promised = sorted(set(re.findall(r"``(\w+)``: (?:dict|int)", KafkaAdminClient.describe_features.__doc__)))
returned = admin.describe_features()
print(f"promised: {', '.join(promised)}; returned: {returned}")
assert promised == ["finalized_features", "finalized_features_epoch", "supported_features"], "the documentation changed"
assert not set(promised) & set(returned), "the method returns what the documentation says: the finding is over"
PYTHON
