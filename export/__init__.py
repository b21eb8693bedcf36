"""A trained cell as a bundle: graphs, parity proof, manifest, and what runs them."""

import os

# ONNX Runtime writes a device's id and description under the home directory when it is imported, for its maker.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
