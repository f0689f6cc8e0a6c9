"""What the crates measure of themselves: criterion's benches, and programs among their examples and tests."""

import json
import os
import re
import time

import stage
from report import p50

# Its own words, such as `test evaluate ... bench:         312 ns/iter (+/- 9)`.
BENCH = re.compile(r"^test (.+?) \.\.\. bench:\s+([\d,]+) ns/iter", re.MULTILINE)
NS = 1e-9


def criterion(on, package, bench):
    size = on.size(["--warm-up-time", "1", "--measurement-time", "3"],
                   ["--warm-up-time", "0.1", "--measurement-time", "0.2", "--sample-size", "10"])
    out = cargo(on, "bench", "--package", package, "--bench", bench, "--", "--output-format", "bencher", *size)
    found = {name: int(ns.replace(",", "")) * NS for name, ns in BENCH.findall(out)}
    if not found:
        raise stage.Fault(f"the bench {bench} of {package} says no figure")
    return found


def cargo(on, command, *arguments, **options):
    return on.run("cargo", command, "--quiet", *arguments, timeout=1200, **options)


def language(on, report):
    times = criterion(on, "pilotage-workflow", "expr")
    report.add("expression of a usual condition", nanoseconds(times["evaluate"]), "≤ 500 ns",
               times["evaluate"] <= 500 * NS, seconds=times["evaluate"])
    report.add("expression, parsed", nanoseconds(times["parse"]), seconds=times["parse"])
    times = criterion(on, "pilotage-workflow", "parse")
    rate = 1 / next(took for name, took in times.items() if "ordinary" in name)
    report.add("workflow files parsed, one core", f"{rate:,.0f} a second", "≥ 5,000 a second", rate >= 5_000, per_s=rate)


def guard(on, report):
    times = criterion(on, "pilotage-guard", "guard")
    for name, what in (("answer", "guard, each answer"), ("replay of 5,000 answers", "guard, replay of 5,000 answers")):
        report.add(what, nanoseconds(times[name]), seconds=times[name])


# How often a scenario of `table` is to be found, and after how many answers at the median.
FOUND = {
    "all fail, 10 %": 3, "all fail after 2000": 8, "20 % at 10 %": 25, "20 % at 50 %": 50, "10 % at 10 %": 65,
    "x2 s.5 10 %": 80, "x2 s1 10 %": 300,
}
ROW = re.compile(r"^(.+?)\s+back\s+(\d+) outage\s+(\d+) of\s+(\d+)\s+answers\s+(\d+) /\s+(\d+)", re.MULTILINE)


def detection(on, report):
    plays = on.size(400, 20)
    out = cargo(on, "run", "--release", "--package", "pilotage-guard", "--example", "table", "--", str(plays))
    rows = {row[0]: [int(n) for n in row[1:]] for row in ROW.findall(out)}
    for name, most in FOUND.items():
        back, outages, of, answers, late = rows[name]
        found = back + outages == of
        report.add(f"guard, {name}", f"{answers} answers (p95 {late})" + ("" if found else f", found {back} of {of}"),
                   f"≤ {most}", found and answers <= most, p50=answers, p95=late, found=back + outages, plays=of)
    good = {name: row for name, row in rows.items() if name.startswith("good")}
    worst = max(good, key=lambda name: good[name][0] + good[name][1])
    alarms = sum(row[0] + row[1] for row in good.values()) / sum(row[2] for row in good.values())
    highest = (good[worst][0] + good[worst][1]) / good[worst][2]
    report.add(f"guard, false alarms, {len(good)} kinds of traffic", f"{alarms:.2%} (highest {highest:.2%}: {worst})",
               "≤ 1 % each", highest <= 0.01, rates={name: (row[0] + row[1]) / row[2] for name, row in good.items()})
    shared = {name: row for name, row in rows.items() if name.startswith("outage")}
    quarantined = sum(row[0] for row in shared.values())
    report.add("guard, quarantined in shared outages", f"{quarantined} of {sum(row[2] for row in shared.values()):,}", "0",
               quarantined == 0, quarantined=quarantined)


def masking(on, report):
    out = cargo(on, "run", "--release", "--package", "pilotage-trust", "--example", "mask", "--", str(on.size(256, 8)))
    for count, rate in re.findall(r"(\d+) secrets: .*?stream\s+(\d+) MB/s", out):
        if count in ("0", "20"):
            report.add(f"masking, {count} secrets", f"{int(rate):,} MB/s", mb_per_s=int(rate))


def simulated(on, report):
    """The guard's plays, by the command that people use, and the engine's sweeps under faults."""
    plays, rates = on.size(400, 40), []
    for seed in range(on.size(3, 1)):
        began = time.perf_counter()
        out = on.run(on.pilotage, "simulate", "--errors", "20", "--watch", "60", "--plays", str(plays), "--seed", str(seed + 1), "--json")
        rates.append(2 * plays / (time.perf_counter() - began))
        json.loads(out)
    report.add("simulate, deployments with 150 s of steps", f"{p50(rates):,.0f} a second", per_s=rates)
    sweep(on, report, "sim_run", "runs", on.size(2_000, 2_000))
    sweep(on, report, "sim_deployment", "deployments", on.size(100_000, 1_000), 100_000)


def sweep(on, report, test, what, seeds, reach=None):
    out = cargo(on, "test", "--release", "--package", "pilotage-engine", "--test", test,
                env=os.environ | {"PILOTAGE_SEEDS": str(seeds)})
    took = float(re.search(r"finished in ([\d.]+)s", out)[1])
    report.add(f"simulated {what} under faults, invariants hold", f"{seeds:,}, {seeds / max(took, 0.01):,.0f} a second",
               f"≥ {reach:,} a test run" if reach else "", seeds >= reach if reach else None, seconds=took, seeds=seeds)


def nanoseconds(seconds):
    return f"{seconds * 1e9:,.0f} ns" if seconds < 1e-5 else f"{seconds * 1e6:,.0f} µs"
