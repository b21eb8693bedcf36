"""The parity check of an export."""

from pathlib import Path

import pytest

from encoder.errors import BundleError
from export import parity
from tests.support.bundles import tiny_bundle


def test_heads_that_were_exported_wrong_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.graphs.heads.MIN_SCALE", 0.1001)
    with pytest.raises(BundleError, match="parity of heads failed"):
        tiny_bundle(tmp_path / "b", items=20)


def test_a_check_in_tiles_gives_the_same_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = tiny_bundle(tmp_path / "at_once", items=50)
    monkeypatch.setattr(parity, "TILE_SCORES", 500)
    in_tiles = tiny_bundle(tmp_path / "in_tiles", items=50)
    assert in_tiles.manifest.parity == at_once.manifest.parity
    monkeypatch.setattr("export.graphs.heads.MIN_SCALE", 0.1001)
    with pytest.raises(BundleError, match="parity of heads failed"):
        tiny_bundle(tmp_path / "wrong", items=50)
