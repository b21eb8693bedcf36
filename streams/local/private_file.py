"""Files that no other user of the machine may read."""

import os
from pathlib import Path


def write_private_file(file: Path, content: bytes) -> None:
    """Write a file that only the owner may read, from the file's first moment."""
    file.unlink(missing_ok=True)  # an existing file would keep its mode
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(content)
