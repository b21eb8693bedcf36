"""Loads mappings: presets by name, which are files of this package, and files of TOML."""

import tomllib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from encoder.data.mapping.document import compile_mapping, extended
from encoder.data.mapping.errors import MappingError, closest
from encoder.data.mapping.mapping import Mapping

_PRESETS = resources.files(__package__) / "presets"
_SUFFIX = ".toml"


def preset_names() -> list[str]:
    """The names of all presets in order."""
    return sorted(file.name.removesuffix(_SUFFIX) for file in _PRESETS.iterdir() if file.name.endswith(_SUFFIX))


def load_mapping(name_or_path: str) -> Mapping:
    """The mapping of a preset or of a TOML file. A name of a preset comes before a file of the same name.

    Raises MappingError that names the file, the key and a remedy.
    """
    if name_or_path in preset_names():
        return _compiled_preset(name_or_path)
    path = Path(name_or_path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        near = closest(name_or_path, preset_names())
        raise MappingError(
            f"{name_or_path} is neither a preset nor a file of UTF-8 that can be read ({error}): {near}"
        ) from None
    return parse_mapping(text, str(path), path.stem)


@cache
def _compiled_preset(name: str) -> Mapping:
    return compile_mapping(load_preset(name), f"preset {name}", name)


def parse_mapping(text: str, file: str, name: str) -> Mapping:
    """The mapping of a text of TOML. file: where the text stands, for messages. Raises MappingError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise MappingError(f"{file} is not TOML: {error}; texts and paths stand in quotes") from None
    return compile_mapping(_resolved(document, file), file, name)


def load_preset(name: str) -> dict[str, Any]:
    """The document of a preset, with what the preset extends. `name` must be a preset."""
    document = tomllib.loads((_PRESETS / (name + _SUFFIX)).read_text(encoding="utf-8"))
    return _resolved(document, f"preset {name}")


def _resolved(document: dict[str, Any], file: str) -> dict[str, Any]:
    base = document.pop("extends", None)
    if base is None:
        return document
    if base not in preset_names():
        shown = base if isinstance(base, str) else repr(base)
        raise MappingError(f'{file}: the key "extends" is {base!r}, no preset: {closest(shown, preset_names())}')
    return extended(load_preset(base), document)
