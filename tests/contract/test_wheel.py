"""The wheel: what the wheel holds, and how the installed program behaves beside packages of the same names."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PROJECT["tool"]["uv"]["build-backend"]["module-name"]
UV = shutil.which("uv") or shutil.which(ROOT / ".uv" / "bin" / "uv")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if UV is None:
        pytest.skip("there is no uv to build the wheel")
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([UV, "build", "--quiet", "--wheel", "--out-dir", folder, ROOT], check=True)
    return next(folder.glob("*.whl"))


def test_the_image_holds_every_package_of_the_wheel() -> None:
    copied = (ROOT / "docker" / "Dockerfile").read_text()
    kept = (ROOT / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    assert [name for name in PACKAGES if f"COPY {name} {name}\n" not in copied or f"!{name}" not in kept] == []


def test_the_wheel_holds_the_licence_and_the_packages_alone(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == set(PACKAGES)


def test_the_wheel_holds_every_file_of_the_page(wheel: Path) -> None:
    folder = ROOT / "streams" / "serve" / "page"
    files = {path.relative_to(ROOT).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert len(files) > 15
    assert files - set(zipfile.ZipFile(wheel).namelist()) == set()


def test_another_distribution_that_overwrites_a_package_is_named(wheel: Path, tmp_path: Path) -> None:
    """Two wheels with the same package share a folder, and the later one wins."""
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import streams; sys.exit(streams.main())"

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)

    installed = run()
    assert (installed.returncode, "usage: thalweg COMMAND" in installed.stderr) == (2, True)
    (tmp_path / "export" / "__init__.py").write_text("# another distribution\n")
    overwritten = run()
    assert overwritten.returncode == 1
    assert overwritten.stderr.startswith(f"thalweg: the package `export` at {tmp_path}")
