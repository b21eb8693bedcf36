"""Loading a bundle: files that changed or are missing are found."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from encoder.data.vocabulary import Vocabulary
from encoder.errors import BundleError
from encoder.model.config import ModelConfig
from encoder.model.user_model import UserModel
from export.exporter import export_model
from export.runtime.bundle import FILES, GPU_FILES, MANIFEST, Bundle
from export.runtime.stepper import Stepper
from tests.support.bundles import tiny_bundle

DEMO_BUNDLE = Path(__file__).parents[4] / "streams" / "demo" / "bundle"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny", items=100, for_gpu=True)


@pytest.fixture
def copy(bundle: Bundle, tmp_path: Path) -> Path:
    """A folder with a copy of the bundle."""
    for file in bundle.path.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def test_an_unchanged_copy_is_the_same_bundle(bundle: Bundle, copy: Path) -> None:
    loaded = Bundle.load(copy)
    assert loaded.bundle_id == bundle.bundle_id
    assert loaded.has_gpu_graphs


def test_a_link_that_names_another_bundle_later_changes_no_loaded_bundle(copy: Path) -> None:
    link = copy / "challenger"
    link.symlink_to(copy, target_is_directory=True)
    loaded = Bundle.load(link)
    link.unlink()
    link.symlink_to(copy / "of-the-next-night", target_is_directory=True)
    assert loaded.path == copy.resolve()
    assert (loaded.path / MANIFEST).is_file()


@pytest.mark.parametrize("name", [*FILES, *GPU_FILES])
def test_a_changed_file_is_refused(name: str, copy: Path) -> None:
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(bytes(content))
    with pytest.raises(BundleError, match=name.replace(".", r"\.")):
        Bundle.load(copy)


@pytest.mark.parametrize("name", [MANIFEST, FILES[0]])
def test_a_file_that_cannot_be_read_is_named(name: str, copy: Path) -> None:
    (copy / name).unlink()
    (copy / name).mkdir()  # stands for a file of another user, because root may read every file
    with pytest.raises(BundleError, match=f"{name} cannot be read: Is a directory; check the owner"):
        Bundle.load(copy)


def test_a_file_in_the_place_of_the_folder_is_no_bundle(copy: Path) -> None:
    with pytest.raises(BundleError, match=r"no bundle at .*: manifest\.json is missing"):
        Bundle.load(copy / MANIFEST)


def test_a_changed_manifest_is_refused(copy: Path) -> None:
    content = msgspec.json.decode((copy / MANIFEST).read_bytes())
    content["metrics"] = {"recall@20": 0.99}
    (copy / MANIFEST).write_bytes(msgspec.json.encode(content))
    with pytest.raises(BundleError, match=r"manifest\.json"):
        Bundle.load(copy)


@pytest.mark.parametrize("name", GPU_FILES)
def test_a_missing_file_is_named(name: str, copy: Path) -> None:
    (copy / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        Bundle.load(copy)


def test_bundles_without_heads_are_read(tmp_path: Path) -> None:
    old = Bundle.load(DEMO_BUNDLE)
    model = UserModel(ModelConfig(items=20, actions=3, width=8, hidden=8))
    vocabulary = Vocabulary([f"i{i}" for i in range(20)], ["view", "cart", "purchase"])
    new = export_model(model, vocabulary, tmp_path / "b")
    for bundle in (old, new):
        query = np.zeros((3, bundle.query_width), np.float32)
        rank, action, time = Stepper(bundle).predict(query, np.array([0, 1, 2]))
        assert rank[0] == 0
        assert rank[1] > 0
        if not bundle.manifest.heads:
            assert action.shape == time.shape == (3, 0)
    assert "heads" not in msgspec.json.decode((new.path / MANIFEST).read_bytes())
    assert "head_tolerance" not in new.manifest.parity
