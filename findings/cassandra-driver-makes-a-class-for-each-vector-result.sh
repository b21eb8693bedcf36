#!/usr/bin/env bash
# cassandra-driver 3.30.1: every result with a vector column makes a new Python class, which only the cycle collector
# frees.
#
# Expected: decoding a result allocates the rows, and frees everything when the rows are dropped. `vector<float, 4>` has
#   one class, as other types without parameters have.
# Behaviour: `VectorType.apply_parameters` calls `type(...)` for the metadata of each result. A class is part of a
#   reference cycle (its `__mro__` names itself), so dropping the rows does not free the class.
# Why it matters: a service that reads vectors and lets the cycle collector run seldom (`gc.freeze`, a high threshold)
#   grows by some 2 KB a query.
#
# The script decodes the same valid RESULT frame (native protocol v4, kind Rows, no rows, one column of the type
# vector<float, 4>) 1,000 times, as `Session.execute` does for each answer, with the collector switched off.
# Output seen on 2026-11-28: "1000 results have left 1000 classes; 2.2 KB each; after gc.collect(): 0"
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check cassandra-driver==3.30.1
"$folder/venv/bin/python" - <<'PYTHON'
import gc
import struct
import tracemalloc

from cassandra.cqltypes import VectorType
from cassandra.protocol import ProtocolHandler, ResultMessage

RESULTS = 1000
ROWS, GLOBAL_TABLE = 2, 1  # kind of the result; flag of its metadata
NAME = b"org.apache.cassandra.db.marshal.VectorType(org.apache.cassandra.db.marshal.FloatType,4)"


def text(value):
    return struct.pack(">H", len(value)) + value


frame = b"".join([
    struct.pack(">iii", ROWS, GLOBAL_TABLE, 1),
    text(b"shop"), text(b"users"), text(b"representation"),
    struct.pack(">H", 0), text(NAME),  # a custom type with its name
    struct.pack(">i", 0),  # no rows
])


def decode():
    return ProtocolHandler.decode_message(4, {}, 0, 0, ResultMessage.opcode, frame, None, None)


decode()
gc.collect()
gc.disable()
before = len(VectorType.__subclasses__())
tracemalloc.start()
for _ in range(RESULTS):
    decode()
left = len(VectorType.__subclasses__()) - before
kilobytes = tracemalloc.get_traced_memory()[0] / 1024 / RESULTS
gc.collect()
after = max(0, len(VectorType.__subclasses__()) - before)
print(f"{RESULTS} results have left {left} classes; {kilobytes:.1f} KB each; after gc.collect(): {after}")
assert left == RESULTS, "results share a class or free it: the finding is over"
PYTHON
