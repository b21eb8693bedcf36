"""The memory of freed large arrays goes back to the operating system."""

import platform
import subprocess
import sys

import pytest

# An array in its own mapping starts at the beginning of a page, after the 16 bytes of its chunk.
FREED_BEFORE = """
import sys
import numpy as np
from streams.worker.process import MAPPED_BYTES, return_large_arrays
if sys.argv[1] == "with":
    return_large_arrays()
del (large := [np.ones(30_000_000, np.uint8)])[:]
kept = [np.ones(MAPPED_BYTES + 1 + 10_000 * n, np.uint8) for n in range(4)]
print(*(array.ctypes.data % 4096 for array in kept))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_large_arrays_have_their_own_mappings_also_after_others_were_freed() -> None:
    def places(given: str) -> str:
        command = [sys.executable, "-c", FREED_BEFORE, given]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert places("with") == "16 16 16 16\n"
    assert places("without") != "16 16 16 16\n", "by default, glibc keeps the memory of freed arrays"
