"""How fast Thalweg reads a log, beside polars, and how much memory a row takes.

    python -m tests.benchmarks.bench.log_reading [--rows 1000000] [--rounds 3] [--json]

A process of its own reads the same file in each round, with the files in the memory of the system: Thalweg all fields
of the event, as a training reads them; polars the same columns, with ids as texts, and once more with texts as codes
(`Categorical`), which is the work that an event log needs. Rates are rows per CPU-second of all threads, of the best of
the rounds. Memory is the growth of the peak resident memory over the rows, after a small file was read.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

ROWS, ROUNDS = 1_000_000, 3
_SMALL_ROWS = 1_000
_BLOCK_ROWS = 100_000
_FIRST_MS = 1_569_888_000_000  # 2019-10-01
_MONTH_S = 30 * 86_400
_TEXTS = ("user_id", "item_id", "action", "category")
_COLUMNS = (*_TEXTS, "event_time_ms", "price")

_THALWEG = """
import json, sys, time
from encoder.data.loaders import load_log
def memory(name):
    return int(open("/proc/self/status").read().split(name)[1].split()[0]) * 1024
load_log(sys.argv[2], for_model=True)
before, cpu_s = memory("VmRSS:"), time.process_time()
log, _ = load_log(sys.argv[1], for_model=True)
cpu_s = time.process_time() - cpu_s
print(json.dumps([len(log) / cpu_s, (memory("VmHWM:") - before) / len(log)]))
"""
_POLARS = """
import json, sys, time
import polars
texts = {name: getattr(polars, sys.argv[3]) for name in sys.argv[4].split(",")}
polars.read_csv(sys.argv[2], schema_overrides=texts)
cpu_s = time.process_time()
table = polars.read_csv(sys.argv[1], schema_overrides=texts)
print(json.dumps([len(table) / (time.process_time() - cpu_s)]))
"""


def log_figures(rows: int = ROWS, rounds: int = ROUNDS) -> dict[str, Any]:
    """The figures `rows_per_cpu_s`, `polars_rows_per_cpu_s` and `bytes_per_row` of a CSV, and those of Parquet.

    `polars_codes_rows_per_cpu_s` is polars with texts as codes. Figures of polars are None where it is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="thalweg-log-") as name:
        whole, small = Path(name) / "log.csv", Path(name) / "small.csv"
        write_csv(whole, rows)
        write_csv(small, _SMALL_ROWS)
        parquet, small_parquet = whole.with_suffix(".parquet"), small.with_suffix(".parquet")
        for source, target in ((whole, parquet), (small, small_parquet)):
            _write_parquet(source, target)
        by_program: dict[str, list[list[float]]] = {"csv": [], "parquet": [], "texts": [], "codes": []}
        for _ in range(rounds):
            by_program["csv"].append(_read(_THALWEG, whole, small))
            by_program["texts"].append(_read(_POLARS, whole, small, "String", ",".join(_TEXTS)))
            by_program["codes"].append(_read(_POLARS, whole, small, "Categorical", ",".join(_TEXTS)))
            by_program["parquet"].append(_read(_THALWEG, parquet, small_parquet))
    return {
        "rows_per_cpu_s": _best(by_program["csv"]),
        "polars_rows_per_cpu_s": _best(by_program["texts"]),
        "polars_codes_rows_per_cpu_s": _best(by_program["codes"]),
        "bytes_per_row": round(max(figures[1] for figures in by_program["csv"]), 1),
        "parquet_rows_per_cpu_s": _best(by_program["parquet"]),
        "parquet_bytes_per_row": round(max(figures[1] for figures in by_program["parquet"]), 1),
    }


def write_csv(path: Path, rows: int, *, layout: str = "contract", seed: int = 0) -> None:
    """Write simulated events in order of time: a CSV of the event contract, or in the layout of REES46.

    layout: contract or rees46. Users and items have counts as in a shop, where few have many events.
    """
    random = np.random.default_rng(seed)
    users, items = max(100, rows // 14), min(200_000, max(50, rows // 50))
    with path.open("w") as file:
        file.write(",".join(_COLUMNS) if layout == "contract" else _REES46_HEADER)
        file.write("\n")
        for begin in range(0, rows, _BLOCK_ROWS):
            size = min(_BLOCK_ROWS, rows - begin)
            user = (random.random(size) ** 1.5 * users).astype(np.int64)
            item = random.zipf(1.2, size) % items
            within_s = np.sort(random.random(size)) * size + begin
            time_ms = _FIRST_MS + (within_s / rows * _MONTH_S).astype(np.int64) * 1000
            action = np.array(["view", "cart", "purchase"])[np.searchsorted([0.9, 0.96], random.random(size))]
            values = (user.tolist(), item.tolist(), action.tolist(), time_ms.tolist())
            file.writelines(_contract_lines(*values) if layout == "contract" else _rees46_lines(*values))


def _contract_lines(users: list[int], items: list[int], actions: list[str], times_ms: list[int]) -> Iterable[str]:
    for user, item, action, time_ms in zip(users, items, actions, times_ms, strict=True):
        price = item * 7919 % 100_000 / 100 + 0.99
        yield f"{500_000_000 + user},{1_000_000 + item},{action},department.c{item % 130},{time_ms},{price:.2f}\n"


_REES46_HEADER = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session"


def _rees46_lines(users: list[int], items: list[int], actions: list[str], times_ms: list[int]) -> Iterable[str]:
    times = np.array(times_ms, "datetime64[ms]").astype("datetime64[s]").astype(str).tolist()
    for user, item, action, time, time_ms in zip(users, items, actions, times, times_ms, strict=True):
        category, brand, day = item % 130, item % 3_000, time_ms // 86_400_000
        session = (user * 0x9E3779B97F4A7C15 + day * 0xC2B2AE3D27D4EB4F) % 2**64
        yield (
            f"{time.replace('T', ' ')} UTC,{action},{1_000_000 + item},{2_053_013_550_000_000_000 + category},"
            f"{f'department.kind.c{category}' if category % 3 else ''},{f'brand{brand}' if brand % 6 else ''},"
            f"{item * 7919 % 100_000 / 100 + 0.99:.2f},{500_000_000 + user},"
            f"{user % 2**32:08x}-{day % 2**16:04x}-4{user % 4096:03x}-a{day % 4096:03x}-{session >> 16:012x}\n"
        )


def _write_parquet(source: Path, target: Path) -> None:
    import pyarrow
    import pyarrow.csv
    import pyarrow.parquet

    types = {name: pyarrow.string() for name in _TEXTS}
    table = pyarrow.csv.read_csv(source, convert_options=pyarrow.csv.ConvertOptions(column_types=types))
    pyarrow.parquet.write_table(table, target, compression="zstd")


def _read(program: str, *arguments: Path | str) -> list[float]:
    """The figures that a process of its own prints, or an empty list where a package is absent."""
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    if "No module named 'polars'" in done.stderr:
        return []
    if done.returncode:
        raise RuntimeError(done.stderr)
    figures: list[float] = json.loads(done.stdout)
    return figures


def _best(rounds: list[list[float]]) -> int | None:
    return max((round(figures[0]) for figures in rounds if figures), default=None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    args = parser.parse_args()
    figures = log_figures(args.rows, args.rounds)
    if args.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:30} {'not installed' if value is None else f'{value:>14,}'}")


if __name__ == "__main__":
    main()
