"""The bill of materials: every direct dependency, with hashes, and with licences where packages give them."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from tests.tools.sbom import licences

ROOT = Path(__file__).parents[3]
UV = shutil.which("uv") or next(
    (str(path) for root in (ROOT, Path(sys.prefix).parent) if (path := root / ".uv" / "bin" / "uv").is_file()), None
)


def metadata_of(**fields: str) -> Message:
    about = Message()
    for name, value in fields.items():
        about[name.replace("_", "-")] = value
    return about


@pytest.mark.skipif(UV is None, reason="uv is neither on the PATH nor in .uv")
def test_the_bill_lists_direct_dependencies_with_hashes_and_licences() -> None:
    export = [str(UV), "export", "--frozen", "--quiet", "--format", "cyclonedx1.5", "--all-extras", "--no-dev"]
    listed = subprocess.run(export, cwd=ROOT, capture_output=True, check=True).stdout
    command = [sys.executable, "-m", "tests.tools.sbom"]
    bill: dict[str, Any] = json.loads(
        subprocess.run(command, cwd=ROOT, input=listed, capture_output=True, check=True).stdout
    )
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    components = {component["name"]: component for component in bill["components"]}
    locked = {package["name"] for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]}
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    direct = {re.split(r"[=<>;\[ ]", text)[0] for text in dependencies} & locked
    assert len(direct) >= 15
    assert direct <= components.keys()
    assert "pytest" not in components, "tools of the development are no part of the package"
    for name in direct:
        assert components[name]["purl"].startswith(f"pkg:pypi/{name}@")
        assert components[name]["externalReferences"][0]["hashes"][0]["alg"] == "SHA-256"
    given = {name for name in direct if components[name].get("licenses")}
    assert {"aiokafka", "numpy", "msgspec", "rich"} <= given
    assert components["aiokafka"]["licenses"] == [{"expression": "Apache-2.0"}]


def test_licences_are_spdx_or_nothing() -> None:
    assert licences(metadata_of(License_Expression="MIT OR Apache-2.0")) == [{"expression": "MIT OR Apache-2.0"}]
    mit = metadata_of(Classifier="License :: OSI Approved :: MIT License", License="anything")
    assert licences(mit) == [{"license": {"id": "MIT"}}]
    assert licences(metadata_of(License="BSD 3-Clause License")) == [{"license": {"id": "BSD-3-Clause"}}]
    assert licences(metadata_of(Classifier="License :: OSI Approved :: BSD License")) == []
    assert licences(metadata_of(License="see the file")) == []


def test_an_empty_input_is_an_error() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.tools.sbom"], cwd=ROOT, input=b"", capture_output=True, check=False
    )
    assert done.returncode == 1
    assert b"run `make sbom`" in done.stderr
