"""Writes docs/openapi.json, the document of `thalweg serve`: `python -m tests.tools.write_openapi`."""

import json

from tests.tools.serving import DOCUMENT, application, ask

if __name__ == "__main__":
    DOCUMENT.write_text(json.dumps(ask(application(), "GET", "/openapi.json").json(), indent=2) + "\n")
