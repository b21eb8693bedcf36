"""The program `thalweg` itself."""

import argparse
import importlib.metadata
import os
import signal
import subprocess
import sys
import textwrap
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

import streams
from streams import PACKAGES, cli, foreign_package
from streams.config.errors import BrokerError, SettingsError, ThalwegError

ROOT = Path(__file__).parents[3]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"thalweg {importlib.metadata.version('thalweg')}\n"


def test_commands_run_from_a_source_tree_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["simulate", "--help"])
    assert stopped.value.code == 0
    assert "--events" in capsys.readouterr().out


def test_without_a_command_every_command_is_listed_on_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    lines = shown.err.splitlines()
    for name, (_, text) in cli.COMMANDS.items():
        assert [line.split(maxsplit=1) for line in lines].count([name, text]) == 1
    assert max(map(len, lines)) <= 80


@pytest.fixture
def default_handlers() -> Iterator[None]:
    """The process of the tests may ignore a signal, as a background job of a shell ignores SIGINT."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def exit_code_of_erase() -> object:
    try:
        return cli.main(["erase", "u-1"])
    except SystemExit as ending:
        return ending.code


@pytest.mark.usefixtures("default_handlers")
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_a_command_after_its_clean_up(number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {each: signal.getsignal(each) for each in SIGNALS}
    cleaned = []

    def run(_: argparse.Namespace) -> int:
        try:
            os.kill(os.getpid(), number)
            raise AssertionError("the signal did not end the command")
        finally:
            cleaned.append(number)

    monkeypatch.setattr("streams.commands.erase.command.run", run)
    assert exit_code_of_erase() == 128 + number
    assert cleaned == [number]
    assert {each: signal.getsignal(each) for each in SIGNALS} == before


@pytest.mark.usefixtures("default_handlers")
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_that_comes_inside_a_callback_is_not_lost(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Python drops the exceptions of such callbacks, and importlib runs a callback for each module that it loads."""
    cleaned = []

    def run(_: argparse.Namespace) -> int:
        module = argparse.Namespace()
        callback = weakref.ref(module, lambda _: os.kill(os.getpid(), number))
        try:
            del module
            deadline_s = time.monotonic() + 10
            while callback() is None and time.monotonic() < deadline_s:
                pass
            raise AssertionError("the signal did not end the command")
        finally:
            cleaned.append(number)

    monkeypatch.setattr("streams.commands.erase.command.run", run)
    hook = sys.unraisablehook
    assert exit_code_of_erase() == 128 + number
    assert cleaned == [number]
    assert sys.unraisablehook is hook
    assert "Exception ignored" not in capfd.readouterr().err


@pytest.mark.usefixtures("default_handlers")
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_that_comes_while_a_module_in_cpp_is_loaded_ends_the_command_as_any_other(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pybind11 makes an ImportError of the exception of the signal."""

    def run(_: argparse.Namespace) -> int:
        try:
            os.kill(os.getpid(), number)
            raise AssertionError("the signal did not end the command")
        except (KeyboardInterrupt, SystemExit) as ending:
            raise ImportError("initialization failed") from ending

    monkeypatch.setattr("streams.commands.erase.command.run", run)
    assert exit_code_of_erase() == 128 + number


def test_a_module_that_cannot_be_loaded_is_an_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_: argparse.Namespace) -> int:
        raise ImportError("initialization failed") from OSError("a library is missing")

    monkeypatch.setattr("streams.commands.erase.command.run", run)
    with pytest.raises(ImportError, match="initialization failed"):
        cli.main(["erase", "u-1"])


def test_a_signal_that_the_parent_ignores_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """`nohup` ignores SIGHUP, and a shell script ignores SIGINT for its background jobs."""
    seen = {}

    def run(_: argparse.Namespace) -> int:
        seen.update({number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGINT)})
        return 0

    monkeypatch.setattr("streams.commands.erase.command.run", run)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGHUP, signal.SIGINT)}
    try:
        assert cli.main(["erase", "u-1"]) == 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert set(seen.values()) == {signal.SIG_IGN}


def test_ctrl_c_while_modules_are_loaded_prints_no_traceback(tmp_path: Path) -> None:
    """The module of the command says when its loading begins, and then takes long."""
    (tmp_path / "slow_command.py").write_text("print('loading', flush=True)\nimport time\ntime.sleep(60)\n")
    code = """
        import sys, signal
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from streams import cli
        cli.COMMANDS["slow"] = ("slow_command", "load slowly")
        sys.exit(cli.main(["slow"]))
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "loading\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (-signal.SIGINT, "")


@pytest.mark.parametrize("name", ["worker", "serve", "monitor", "verify", "doctor", "setup", "archive", "replay"])
def test_a_command_loads_its_modules_by_itself(name: str) -> None:
    """Most tests on services start commands that find their modules loaded, in which a missing import is not seen."""
    module = {"worker": "streams.worker.command", "serve": "streams.serve.server"}.get(name, cli.COMMANDS[name][0])
    ended = subprocess.run([sys.executable, "-c", f"import {module}"], cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_packages_of_this_tree_are_its_own() -> None:
    assert [foreign_package(name, ROOT) for name in PACKAGES] == [""] * len(PACKAGES)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_foreign_package_of_the_same_name_is_named(tmp_path: Path, name: str) -> None:
    """The foreign package stands before ours on the path, and has no module of ours."""
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("# another project\n")
    ended = subprocess.run(
        [sys.executable, "-c", "import sys, streams; sys.exit(streams.main())", "--version"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"thalweg: the package `{name}` at {tmp_path}")
    assert "environment of its own" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_foreign_package_in_the_place_of_streams_is_named_by_python(tmp_path: Path) -> None:
    (tmp_path / "streams").mkdir()
    (tmp_path / "streams" / "__init__.py").write_text("# another project\n")
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; from streams import main"  # as the program
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert f"cannot import name 'main' from 'streams' ({tmp_path}" in ended.stderr


def test_a_package_whose_first_file_was_deleted_or_overwritten_is_named(tmp_path: Path) -> None:
    """pip installs two distributions with the same package into one folder, and the later one overwrites files."""
    folder = tmp_path / "site-packages"
    for name in ("streams", "export"):
        (folder / name).mkdir(parents=True)
    (folder / "streams" / "__init__.py").write_text(Path(streams.__file__).read_text())
    (folder / "export" / "command.py").write_text("")
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); import streams; streams.main()"

    def run() -> str:
        command = [sys.executable, "-I", "-S", "-c", code]
        return subprocess.run(command, capture_output=True, text=True, check=False).stderr

    assert run() == f"thalweg: the package `export` is missing or incomplete in {folder}: install Thalweg again\n"
    (folder / "export" / "__init__.py").write_text("")
    assert "is not that of Thalweg" in run()


def test_output_whose_reader_has_ended_ends_the_command_without_a_traceback() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "streams.cli", "completion", "bash"], stdout=write_end, stderr=subprocess.PIPE
        )
    finally:
        os.close(write_end)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


@pytest.mark.parametrize(("error", "code"), [(BrokerError("away"), 75), (SettingsError("wrong"), 1)])
def test_a_caller_may_tell_errors_that_a_retry_mends(
    error: ThalwegError, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(args: argparse.Namespace) -> int:
        raise error

    monkeypatch.setattr("streams.commands.erase.command.run", fail)
    assert cli.main(["erase", "u-1"], 75) == code
    assert cli.main(["erase", "u-1"]) == 1
