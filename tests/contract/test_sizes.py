"""Bounds on the sizes of files, folders, classes and functions, so that each can be read in one sitting."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("encoder", "export", "streams")
MAX_FILE_LINES = 350
MAX_FUNCTION_LINES = 50
MAX_ATTRIBUTES = 12
MAX_ENTRIES = 14

# What may be larger, with the reason: "path" for a file or folder, "path:Class" or "path:function" for a part of one.
EXCEPTIONS: dict[str, str] = {
    "streams": "one entry for each room, as docs/architecture.md lists them",
    "streams/commands": "one entry for each command, or for commands that belong together",
    "tests/unit": "one folder for each room",
}


def files(*folders: str) -> Iterator[tuple[str, Path]]:
    """Yield the relative path and the path of each Python file in the folders."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path


def over(sizes: dict[str, int], bound: int) -> dict[str, int]:
    """Return the sizes that exceed the bound and are no exceptions."""
    return {name: size for name, size in sizes.items() if size > bound and name not in EXCEPTIONS}


def attributes(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield the name of each class and the number of attributes that its constructor sets on self."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                    yield node.name, len(attributes_set_in(method))


def attributes_set_in(constructor: ast.FunctionDef) -> set[str]:
    return {
        node.attr
        for node in ast.walk(constructor)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }


def test_no_file_is_too_long() -> None:
    sizes = {name: len(path.read_text().splitlines()) for name, path in files(*PACKAGES, "tests")}
    assert over(sizes, MAX_FILE_LINES) == {}


def test_no_function_is_too_long() -> None:
    sizes: dict[str, int] = {}
    for name, path in files(*PACKAGES):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                part, lines = f"{name}:{node.name}", (node.end_lineno or 0) - node.lineno + 1
                sizes[part] = max(lines, sizes.get(part, 0))  # two classes may have methods of the same name
    assert over(sizes, MAX_FUNCTION_LINES) == {}


def test_no_constructor_sets_too_many_attributes() -> None:
    sizes = {
        f"{name}:{class_name}": count
        for name, path in files(*PACKAGES)
        for class_name, count in attributes(ast.parse(path.read_text()))
    }
    assert over(sizes, MAX_ATTRIBUTES) == {}


def test_no_folder_has_too_many_entries() -> None:
    folders = [
        folder
        for package in (*PACKAGES, "tests")
        for folder in [ROOT / package, *(ROOT / package).rglob("*")]
        if folder.is_dir() and "__pycache__" not in folder.parts
    ]
    sizes = {
        folder.relative_to(ROOT).as_posix(): sum(
            entry.name not in ("__pycache__", "__init__.py") for entry in folder.iterdir()
        )
        for folder in folders
    }
    assert over(sizes, MAX_ENTRIES) == {}


def test_every_exception_still_exists() -> None:
    """An exception whose file, class or function is gone leaves the table."""
    known = set()
    for name, path in files(*PACKAGES, "tests"):
        known.add(name)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                known.add(f"{name}:{node.name}")
    assert {name for name in EXCEPTIONS if name not in known and not (ROOT / name).is_dir()} == set()
    assert all(EXCEPTIONS.values()), "an exception needs a reason"
