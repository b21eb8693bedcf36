"""Delay and false alarms of the monitor's drift detectors, on simulated streams.

`python -m tests.benchmarks.drift [--runs N] [--first-seed S] [--json]`: for each seed, the simulated shop of the demo
runs for three simulated days with 120,000 events a day, once with each planted drift: the shop's sale, shuffled item
ids, and one action that stops. The worker's own processor steps the demo's bundle and scores each event, and the
monitor's own scoreboards read the evaluation events. No service runs. The hours from the end of the learning to the
drift are stationary, and each alarm in these hours is a false one.

The command ends with code 1 when a drift was not found within the stated delay, or when there was a false alarm. The
thresholds were chosen on the seeds 101 to 105. The default seeds are 1 to 20.
"""

import argparse
import json
import sys
from typing import Any

from tests.support.monitoring.drift_run import ALARM_OF, STATED_DELAY, DriftRun, drift_run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20, metavar="N")
    parser.add_argument("--first-seed", type=int, default=1, metavar="S")
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    args = parser.parse_args()
    runs = []
    for seed in range(args.first_seed, args.first_seed + args.runs):
        for drift in ALARM_OF:
            run = drift_run(seed, drift)
            runs.append(run)
            print(line(run), file=sys.stderr if args.json else sys.stdout, flush=True)
    found = summary(runs)
    print(json.dumps(found) if args.json else json.dumps(found, indent=2))
    is_good = found["false_alarms"] == 0 and all(found[drift]["in_time"] == args.runs for drift in ALARM_OF)
    return 0 if is_good else 1


def line(run: DriftRun) -> str:
    delay = "not found" if run.delay_events is None else f"found after {run.delay_events:,} events, {run.delay_h:.2f} h"
    names = ", ".join(sorted({f"{alarm.name} {alarm.slice}" for alarm in run.found if alarm.state == "firing"}))
    false = "; ".join(f"{alarm.name} {alarm.slice}: {alarm.detail}" for alarm in run.false_alarms)
    return (
        f"seed {run.seed}, {run.drift}: {delay}; {run.watched_h:.1f} stationary hours, {run.watched_events:,} events, "
        f"{len(run.false_alarms)} false alarms{' (' + false + ')' if false else ''}; raised: {names}"
    )


def summary(runs: list[DriftRun]) -> dict[str, Any]:
    """The runs of one seed share their stationary hours, so the hours and the false alarms of the longest count."""
    longest: dict[int, DriftRun] = {}
    for run in runs:
        if run.seed not in longest or run.watched_h > longest[run.seed].watched_h:
            longest[run.seed] = run
    made: dict[str, Any] = {
        "runs": len(longest),
        "stationary_h": round(sum(run.watched_h for run in longest.values()), 1),
        "stationary_events": sum(run.watched_events for run in longest.values()),
        "false_alarms": sum(len(run.false_alarms) for run in longest.values()),
    }
    for drift in ALARM_OF:
        delays = [run.delay_events for run in runs if run.drift == drift and run.delay_events is not None]
        made[drift] = {
            "stated_delay_events": STATED_DELAY[drift],
            "in_time": sum(run.is_in_time for run in runs if run.drift == drift),
            "median_delay_events": sorted(delays)[len(delays) // 2] if delays else None,
            "longest_delay_events": max(delays, default=None),
        }
    return made


if __name__ == "__main__":
    sys.exit(main())
