"""The completion scripts: every command and option is in them, and bash completes with its script."""

import shutil
import subprocess

import pytest

from streams.cli import COMMANDS, main, make_parser
from streams.commands.completion import SHELLS, script

pytest.importorskip("shtab", reason="an environment from before the lock had shtab: `uv sync`")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_names_every_command_and_its_options(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    text = capsys.readouterr().out
    assert [name for name in COMMANDS if name not in text] == []
    assert "log-level" in text
    assert "until-idle" in text


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["thalweg", "wo"], "worker"),
        (["thalweg", "worker", "--log-level", "DE"], "DEBUG"),
        (["thalweg", "completion", "fi"], "fish"),
        (["thalweg", "worker", "--bundle", "/et"], "/etc"),
        (["thalweg", "replay", "/et"], "/etc"),
    ],
)
def test_bash_completes_commands_options_choices_and_files(words: list[str], completed: str) -> None:
    assert completions(words) == [completed]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize("option", [["train", "--threads"], ["evaluate", "--rest"], ["replay", "--rate"]])
def test_a_number_is_not_completed_as_a_file(option: list[str]) -> None:
    assert completions(["thalweg", *option, "/et"]) == []


def completions(words: list[str]) -> list[str]:
    """What bash offers for the last word."""
    line = " ".join(words)
    quoted = " ".join(f"'{word}'" for word in words)
    code = f"""
        COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; COMP_LINE='{line}'; COMP_POINT={len(line)}
        function=$(complete -p thalweg | sed -E 's/.*-F ([^ ]+).*/\\1/')
        $function
        echo "${{COMPREPLY[@]}}"
    """
    ended = subprocess.run(
        ["bash", "--norc", "-c", script(make_parser(), "bash") + code], capture_output=True, text=True, check=False
    )
    return ended.stdout.split()
