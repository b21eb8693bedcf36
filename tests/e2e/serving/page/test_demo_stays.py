"""`thalweg demo --stay`: a page from the beginning, events after the report, and nothing left after Ctrl-C."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import msgspec

ENDED_WITHIN_S = 30
REPORTED_WITHIN_S = 240
RATE = 20_000
LAST_BIT = 1e-15  # of float64 in a counter: docs/decisions.md#logarithms-in-float64


def test_the_demo_stays_with_its_page_until_ctrl_c_and_leaves_nothing_behind(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    demo = subprocess.Popen(
        [sys.executable, "-m", "streams.cli", "demo", "--stay", "--rate", str(RATE)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    lines: list[str] = []
    assert demo.stdout is not None, "the output is a pipe"
    reader = threading.Thread(target=lines.extend, args=(demo.stdout,))
    reader.start()
    try:
        wait_for(lines, demo, r"Ctrl-C ends everything")
        order = [number for number, line in enumerate(lines) if re.search(r"The page: |streaming: |records sent", line)]
        assert "The page: " in lines[order[0]], "the address comes before the first event"
        url = lines[order[0]].removeprefix("The page: ").strip()
        found = re.search(r"max \|difference\| (\S+),", "".join(lines))
        assert found is not None, "".join(lines)
        assert float(found[1]) <= LAST_BIT
        assert applied_per_s(url) > 0
    finally:
        demo.send_signal(signal.SIGINT)
        code = demo.wait(ENDED_WITHIN_S)
        reader.join()
    assert code == 0, "".join(lines)
    assert list(tmp_path.glob("thalweg-*")) == []
    try:
        httpx.get(f"{url}healthz")
    except httpx.ConnectError:
        return
    raise AssertionError("the server of the page outlives the demo")


def wait_for(lines: list[str], demo: "subprocess.Popen[str]", pattern: str) -> None:
    deadline = time.monotonic() + REPORTED_WITHIN_S
    while not any(re.search(pattern, line) for line in lines):
        assert demo.poll() is None, "".join(lines)
        assert time.monotonic() < deadline, "".join(lines)
        time.sleep(0.1)


def applied_per_s(url: str) -> float:
    """Events applied per second by a status of the page's stream that knows the number and is not 0."""
    with httpx.stream("GET", f"{url}v1/live", timeout=30) as stream:
        deadline = time.monotonic() + 30
        for line in stream.iter_lines():
            found = msgspec.json.decode(line.removeprefix("data: ")) if line.startswith("data: {") else {}
            if found.get("applied_per_s"):
                return float(found["applied_per_s"])
            assert time.monotonic() < deadline, "no event of the later days was applied"
    raise AssertionError("the stream ended")
