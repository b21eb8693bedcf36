"""The pages for readers: links lead somewhere, and the commands in them are accepted by the code as it is."""

import argparse
import importlib
import importlib.util
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.cli import COMMANDS
from streams.config.loading import NOT_SETTINGS
from streams.config.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
DECISIONS = ROOT / "docs" / "decisions.md"
CLIENTS = ROOT / "docs" / "clients"
MAX_README_BYTES = 8 * 1024
FOREIGN_VARIABLES = ("OTEL_", "MLFLOW_", "OPENLINEAGE_")  # The clients of these systems read their own variables.
# First words of commands that are not ours. The test does not look at what follows them.
FOREIGN_COMMANDS = {
    "base64",
    "cd",
    "curl",
    "uv",
    "docker",
    "git",
    "go",
    "java",
    "kill",
    "kubectl",
    "mvn",
    "node",
    "nodetool",
    "npm",
    "npx",
    "pip",
    "source",
    "torchrun",
}

FENCE = re.compile(r"^ *```(\w*)")
LINK = re.compile(r"\]\(([^)\s]+)[^)]*\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)


def page_name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def text_and_blocks(page: Path) -> tuple[str, list[tuple[str, str]]]:
    """Return the page's text outside fenced blocks, and each fenced block as (language, content)."""
    text: list[str] = []
    blocks: list[tuple[str, list[str]]] = []
    is_inside = False
    for line in page.read_text().splitlines():
        fence = FENCE.match(line)
        if fence:
            is_inside = not is_inside
            if is_inside:
                blocks.append((fence[1], []))
        elif is_inside:
            blocks[-1][1].append(line)
        else:
            text.append(line)
    assert not is_inside, f"{page_name(page)}: a fenced block has no end"
    return "\n".join(text), [(language, "\n".join(lines)) for language, lines in blocks]


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page: words in small letters, joined by hyphens."""
    found: dict[str, int] = {}
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", text_and_blocks(page)[0], re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", shown).replace(" ", "-")
        count = found[anchor] = found.get(anchor, 0) + 1
        if count > 1:  # GitHub numbers headings of the same words
            found[f"{anchor}-{count - 1}"] = 1
    return set(found)


def broken_reason(page: Path, target: str) -> str | None:
    """Say why a link of a page leads nowhere, or return None. Links to other sites are not followed."""
    if re.match(r"[a-z]+:", target):
        return None
    path, _, anchor = target.partition("#")
    found = (page.parent / path).resolve() if path else page
    if not found.exists():
        return "no such file"
    if anchor and anchor not in anchors(found):
        return "no such heading"
    return None


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_link_leads_somewhere(page: Path) -> None:
    text, _ = text_and_blocks(page)
    targets = [inline or reference for inline, reference in LINK.findall(re.sub(r"`[^`]*`", "", text))]
    found = {target: broken_reason(page, target) for target in targets}
    assert {target: reason for target, reason in found.items() if reason} == {}


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_path_in_backticks_exists(page: Path) -> None:
    text, _ = text_and_blocks(page)
    named = re.findall(r"`((?:docker|docs|encoder|export|streams|tests)/[\w./-]+)`", text)
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_heading_that_the_code_names_exists() -> None:
    files = [path for folder in ("encoder", "export", "streams", "tests") for path in (ROOT / folder).rglob("*.py")]
    named = {
        (path.relative_to(ROOT).as_posix(), page, anchor)
        for path in [*files, ROOT / "pyproject.toml", ROOT / "Makefile"]
        for page, anchor in re.findall(r"docs/([\w-]+\.md)#([\w-]+)", path.read_text())
    }
    known = {page.name: anchors(page) for page in (ROOT / "docs").glob("*.md")}
    assert [found for found in sorted(named) if found[2] not in known.get(found[1], ())] == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= MAX_README_BYTES


def commands(block: str) -> Iterator[list[str]]:
    """Yield the words of each command in a shell block, without comments, redirections and what a pipe leads to."""
    for line in block.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
        lexer.whitespace_split = True
        words: list[str] = []
        for token in [*lexer, ";"]:
            if set(token) <= set("();|&"):
                if words:
                    yield words
                words = []
            else:
                words.append(token)


def page_commands() -> list[tuple[str, str]]:
    """Return each command of each page as (page, command)."""
    return [
        (page_name(page), shlex.join(words))
        for page in PAGES
        for language, block in text_and_blocks(page)[1]
        if language in ("sh", "bash", "shell", "console")
        for words in commands(block)
    ]


def parse_thalweg(arguments: list[str]) -> None:
    """Parse a command line of `thalweg` with the parser of the command, which exits on an error."""
    if arguments in (["--version"], ["--help"]):
        return
    name = arguments[0]
    assert name in COMMANDS, f"thalweg has no command {name}"
    parser = argparse.ArgumentParser(prog=f"thalweg {name}")
    importlib.import_module(COMMANDS[name][0]).add_arguments(parser)
    parser.parse_args(arguments[1:])


def check_settings(assignments: list[str]) -> None:
    for assignment in assignments:
        name = assignment.partition("=")[0]
        known = NOT_SETTINGS | {f"{PREFIX}{field.upper()}" for field in Settings.__struct_fields__}
        known |= {f"{setting}_FILE" for setting in known if setting.endswith("_PASSWORD")}
        assert name in known, f"{name} is no setting"


def test_the_page_of_clients_shows_every_program_as_the_file_is() -> None:
    page = CLIENTS.with_name("kafka-clients.md").read_text()
    shown = re.findall(r"\]\(clients/([\w./-]+)\):\n\n```\w+\n(.*?\n)```\n", page, re.DOTALL)
    programs = {path for kind in ("*.py", "*.js", "*.go", "*.java") for path in CLIENTS.rglob(kind)}
    files = {path.relative_to(CLIENTS).as_posix(): path.read_text() for path in programs if not is_installed(path)}
    assert len(files) == len(shown) == 12
    assert dict(shown) == files


def is_installed(path: Path) -> bool:
    """Whether a command of the page put the file there."""
    return not {"node_modules", "lib"}.isdisjoint(path.relative_to(CLIENTS).parts)


def test_the_locks_of_clients_name_no_registry() -> None:
    """A lock with addresses would send every reader to the registry of the person who wrote the lock."""
    packages = json.loads((CLIENTS / "node" / "package-lock.json").read_text())["packages"]
    assert [name for name, package in packages.items() if "resolved" in package] == []
    assert all("integrity" in package for name, package in packages.items() if name)


def test_the_python_programs_of_clients_have_the_versions_of_our_lock() -> None:
    lock = (ROOT / "uv.lock").read_text()
    for line in (CLIENTS / "python" / "requirements.txt").read_text().splitlines():
        name, version = line.split("==")
        assert f'name = "{name}"\nversion = "{version}"' in lock


def makefile_targets() -> set[str]:
    return set(re.findall(r"^([\w./-]+):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize(("page", "command"), page_commands())
def test_every_command_is_accepted(page: str, command: str) -> None:
    words = shlex.split(command)
    settings = [word for word in words if re.match(rf"{PREFIX}\w+=", word)]
    check_settings(settings)
    first, *rest = [word for word in words if word not in settings] or ["export"]
    if first == "thalweg":
        try:
            parse_thalweg([word for word in rest if word not in "<>"])
        except SystemExit as stopped:
            pytest.fail(f"{page}: the parser refuses it with exit code {stopped.code}")
    elif first == "make":
        targets = [word for word in rest if "=" not in word]
        assert set(targets) <= makefile_targets(), page
    elif first == "python" and rest[0].endswith(".py"):
        assert (ROOT / rest[0]).is_file(), page
    elif first in ("python", "python3") and rest[0] == "-m":
        assert importlib.util.find_spec(rest[1]) is not None, page
    elif first == "export":
        others = [word for word in rest if not word.startswith(FOREIGN_VARIABLES)]
        assert others == [], f"{page}: export of something else than a setting"
    else:
        assert first in FOREIGN_COMMANDS, f"{page}: is {first} a command of ours?"


def test_make_help_lists_every_target() -> None:
    phony = next(line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith(".PHONY:"))
    ended = subprocess.run(["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True)
    assert [line.split()[0] for line in ended.stdout.splitlines()] == phony.split()[1:]
    assert all(len(line.split()) > 1 for line in ended.stdout.splitlines())
