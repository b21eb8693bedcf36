"""Adds licences to the bill of materials of uv: `uv export --format cyclonedx1.5 | python -m tests.tools.sbom`.

uv lists every locked package with the hashes of its files, and knows no licence. This tool adds what the installed
packages say of themselves: the SPDX expression of their metadata, or else the SPDX id of their classifier. A package
that is not installed here, or that gives neither, has no licence in the result. `make sbom` runs both and writes
thalweg.cdx.json.
"""

import json
import sys
from importlib.metadata import PackageMetadata, PackageNotFoundError, metadata
from typing import Any

# Classifiers that stand for one SPDX id. "BSD License" and others stand for several.
SPDX_OF_CLASSIFIER = {
    "Apache Software License": "Apache-2.0",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "zlib/libpng License": "Zlib",
}
# Texts in the old field of the licence that are an SPDX id, or that stand for one.
SPDX_OF_TEXT = {
    **{name: name for name in ("Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0", "PSF-2.0")},
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache License v2.0": "Apache-2.0",
    "3-Clause BSD License": "BSD-3-Clause",
    "BSD 3-Clause": "BSD-3-Clause",
    "BSD 3-Clause License": "BSD-3-Clause",
    "New BSD": "BSD-3-Clause",
    "MIT License": "MIT",
    "MPL 2.0": "MPL-2.0",
}


def licences(about: PackageMetadata) -> list[dict[str, Any]]:
    """The field `licenses` of CycloneDX; empty where the package gives no licence that SPDX has an id for."""
    if expression := about.get("License-Expression"):
        return [{"expression": expression}]
    classifiers = [line.rpartition(" :: ")[2] for line in about.get_all("Classifier") or [] if line[:7] == "License"]
    ids = [SPDX_OF_CLASSIFIER[name] for name in classifiers if name in SPDX_OF_CLASSIFIER]
    text = (about.get("License") or "").strip()
    if not ids and text in SPDX_OF_TEXT:
        ids = [SPDX_OF_TEXT[text]]
    return [{"license": {"id": name}} for name in dict.fromkeys(ids)]


def with_licences(bill: dict[str, Any]) -> dict[str, Any]:
    """The bill with `licenses` for each component whose package is installed and gives a licence, and for Thalweg."""
    for component in [bill["metadata"]["component"], *bill["components"]]:
        try:
            found = licences(metadata(component["name"]))
        except PackageNotFoundError:
            continue
        if found:
            component["licenses"] = found
    return bill


def main() -> None:
    try:
        bill = json.load(sys.stdin)
    except json.JSONDecodeError as error:
        sys.exit(f"no bill of materials on the standard input ({error}): run `make sbom`")
    print(json.dumps(with_licences(bill), indent=2))


if __name__ == "__main__":
    main()
