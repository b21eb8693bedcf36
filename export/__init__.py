"""Thalweg's bundles: the graphs of a trained cell, their parity check, the code that runs a bundle, its evaluation.

The rooms are `graphs` (writes ONNX graphs), `runtime` (loads and runs a bundle) and `evaluation` (offline evaluation);
`exporter` puts a bundle together. The package may import `encoder`. It does not train models, and it knows neither
Kafka nor Cassandra, which is the job of `streams`.
"""

import os

# When it is imported, ONNX Runtime writes the id and a description of the device under the home directory, for
# telemetry. This turns the telemetry off.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
