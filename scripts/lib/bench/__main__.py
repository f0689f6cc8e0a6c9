"""Measures Pilotage; `scripts/bench` says how to call it."""

import argparse
import os
import signal
import subprocess
import sys
import time

import crates
import logs
import memory
import pages
import proxy
import push
import steps
from report import Report
from stage import Fault, Stage

PARTS = {
    "steps": (steps.overhead, "what a run step costs above its shell"),
    "many": (steps.many, "100 jobs of 10 empty steps beside 1,000 shells"),
    "push": (push.first_line, "from a push to its first line; from the queue to a runner"),
    "logs": (logs.measure, "logs masked, stored, acknowledged, followed, read"),
    "pages": (pages.measure, "pages, lists and commands with a million runs stored"),
    "language": (crates.language, "expressions and parsing"),
    "proxy": (proxy.measure, "the proxy beside nginx and haproxy"),
    "guard": (crates.guard, "what the guard costs for each answer"),
    "detection": (crates.detection, "how soon faults are found, and false alarms"),
    "masking": (crates.masking, "masking"),
    "memory": (memory.measure, "memory of server and keepers, start to ready"),
    "simulated": (crates.simulated, "simulated deployments and runs a second"),
}


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measures Pilotage against the numbers that it is to reach.")
    parser.add_argument("--only", action="append", choices=PARTS, metavar="PART", help="one part; may be given more than once")
    parser.add_argument("--list", action="store_true", help="the parts")
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that all of it works")
    parser.add_argument("--json", action="store_true", help="one object on the standard output instead of the table")
    parser.add_argument("--bin", metavar="DIR", help="where the program `pilotage` is, instead of building it")
    given = parser.parse_args()
    if given.list:
        for name, (_, what) in PARTS.items():
            print(f"{name:<10} {what}")
        return 0
    # A script that is told to end cleans up like one that is interrupted.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    report = Report()
    print(f"{machine()}{', small sizes: these figures say little' if given.quick else ''}", file=sys.stderr)
    failed = measure(given, report)
    print(report.json(machine()) if given.json else "\n" + report.table())
    return 1 if failed else 0


def measure(given, report):
    failed = False
    for name in given.only or PARTS:
        work, what = PARTS[name]
        began = time.monotonic()
        print(f"{name}: {what}", file=sys.stderr, flush=True)
        # A stage for each: what one part leaves behind is no load for the next.
        on = Stage(given.bin, given.quick)
        try:
            work(on, report)
        except (Fault, OSError, subprocess.SubprocessError, KeyError, ValueError) as error:
            failed = True
            report.missing(what, f"{type(error).__name__}: {error}" if not isinstance(error, Fault) else str(error))
        finally:
            on.end()
        print(f"  {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return failed


def machine():
    """What it was measured on, and what else ran there."""
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "unknown")
    return f"{os.cpu_count()} × {model}, load {os.getloadavg()[0]:.1f}, {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
