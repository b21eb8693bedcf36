"""The files of the page: what is served, with which headers, and whether every text exists in every language."""

import json
import re
from pathlib import Path

import pytest

from streams.serve.http.tokens import Tokens
from streams.serve.routes.page import FOLDER
from tests.tools.serving import application, ask

MAX_LINES = 350
OWN = [path for path in sorted(FOLDER.rglob("*.*")) if "vendor" not in path.parts]
SCRIPTS = {path.relative_to(FOLDER).as_posix(): path.read_text() for path in OWN if path.suffix == ".js"}
PLACEHOLDER = re.compile(r"\{\w+\}")


def texts() -> dict[str, list[str]]:
    entries = re.findall(r"^  (\w+): (\[.*?\]),$", SCRIPTS["texts.js"], re.MULTILINE | re.DOTALL)
    return {key: json.loads(re.sub(r",\s*\]$", "]", value)) for key, value in entries}


def test_the_page_and_its_files_need_no_token_and_everything_else_does(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text('[shop]\ntoken = "0123456789abcdef"\nscopes = ["read"]\n')
    app = application(Tokens(path))
    assert ask(app, "GET", "/").status_code == 200
    for name in SCRIPTS:
        assert ask(app, "GET", f"/page/{name}").status_code == 200
    for other in ("/v1/live", "/v1/live/map", "/v1/live/users/u", "/pages", "/page"):
        assert ask(app, "GET", other).status_code == 401, other


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/page/main.js", "text/javascript; charset=utf-8"),
        ("/page/views/live.js", "text/javascript; charset=utf-8"),
        ("/page/style.css", "text/css; charset=utf-8"),
        ("/page/icon.svg", "image/svg+xml"),
        ("/page/vendor/uplot/LICENSE.txt", "text/plain; charset=utf-8"),
    ],
)
def test_a_file_has_its_type_a_strict_policy_and_a_tag(path: str, kind: str) -> None:
    app = application()
    answer = ask(app, "GET", path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-content-type-options"] == "nosniff"
    unchanged = ask(app, "GET", path, headers={"If-None-Match": answer.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert ask(app, "GET", path, headers={"If-None-Match": '"other"'}).content == answer.content


@pytest.mark.parametrize(
    "path",
    ["/page/../command.py", "/page/%2e%2e/command.py", "/page/..%2Fcommand.py", "/page/", "/page/views", "/page//"],
)
def test_no_other_file_can_be_asked_for(path: str) -> None:
    assert ask(application(), "GET", path).status_code == 404


def test_the_page_asks_no_other_server_and_has_no_script_in_its_markup() -> None:
    page = (FOLDER / "index.html").read_text()
    assert re.findall(r"(?:src|href)=\"(?!/page/|#)", page) == []
    assert re.findall(r"<script(?![^>]* src=)", page) == []
    assert " style=" not in page
    assert [
        name for name, text in SCRIPTS.items() if re.search(r"https?://(?!www\.w3\.org/)|innerHTML|eval\(", text)
    ] == []


def test_every_key_has_a_text_in_every_language_with_the_same_places_to_fill() -> None:
    found = texts()
    assert len(found) > 80
    assert {key: values for key, values in found.items() if len(values) != 3 or not all(values)} == {}
    places = {key: {tuple(sorted(PLACEHOLDER.findall(text))) for text in values} for key, values in found.items()}
    assert {key for key, sets in places.items() if len(sets) > 1} == set()


def test_every_text_that_the_page_shows_exists_and_every_text_is_shown() -> None:
    code = "\n".join(text for name, text in SCRIPTS.items() if name != "texts.js") + (FOLDER / "index.html").read_text()
    shown = set(re.findall(r"\btext\(\"(\w+)\"", code)) | set(re.findall(r"data-(?:text|label)=\"(\w+)\"", code))
    assert shown - set(texts()) == set()
    words = set(re.findall(r"\w+", code))
    unused = {key for key in texts() if key not in words and key not in {"userId", "itemId"}}  # `${kind}Id`
    assert unused == set()


def test_files_of_the_page_are_short() -> None:
    sizes = {path.name: len(path.read_text().splitlines()) for path in OWN}
    assert {name: size for name, size in sizes.items() if size > MAX_LINES} == {}


def test_the_library_of_charts_is_of_the_version_that_its_note_names_and_has_its_licence() -> None:
    folder = FOLDER / "vendor" / "uplot"
    version = re.match(r"uPlot ([\d.]+)\n", (folder / "VERSION.txt").read_text())
    assert version is not None
    assert f"(v{version[1]})" in (folder / "uPlot.iife.min.js").read_text()[:200]
    assert "MIT License" in (folder / "LICENSE.txt").read_text()
