"""Logs on their whole way: written by a step, masked by the runner, on the server's disk, and read again."""

import time

import server
import stage
from report import at, ms, p50

LINE = "2026-11-25T02:03:04.5678Z   Compiling a-crate-of-many v0.1.0 (crates/a-crate-of-many), 12 of 345 done"
SECRET = "s3cr3t/Zq8&x2-wVtR41pLmN"


def measure(on, report):
    megabytes, lines = on.size(128, 8), on.size(1_000_000, 50_000)
    with_server = server.Server(on, "log-server")
    with_server.project("log", {
        ".github/workflows/much.yml": job(f"yes '{LINE}' | head -c {megabytes}000000; echo; echo \"the secret is $SECRET\"",
                                         "    env:\n      SECRET: ${{ secrets.SECRET }}\n"),
        ".github/workflows/long.yml": job(f"seq {lines}"),
        ".github/workflows/slow.yml": job("for i in {1..100}; do echo \"line $EPOCHREALTIME\"; sleep 0.02; done"),
    })
    api = with_server.connection()
    api.call("PUT", f"projects/{server.OWNER}/log/secrets/SECRET", {"value": SECRET})
    ingest(on, report, api, megabytes)
    follow(report, api)
    long_log(report, api, lines)
    with_server.stop()


def job(script, env=""):
    return ("on: workflow_dispatch\njobs:\n  log:\n    runs-on: ubuntu-latest\n" + env
            + f"    steps:\n      - run: |\n          {script}\n")


def ingest(on, report, api, megabytes):
    rates, whole = [], True
    for _ in range(on.size(3, 1)):
        detail = api.until_ended(api.dispatch("log", "much.yml"))
        of_job = detail["jobs"][0]
        # The job ends when all of its log is acknowledged.
        took = (of_job["ended_at"] - of_job["started_at"]) / 1e3
        rates.append(megabytes / took)
        expected = megabytes * 1_000_000 // (len(LINE) + 1)
        tail = api.open("GET", f"jobs/{of_job['id']}/log?from={of_job['log_lines'] - 4}").read().decode()
        whole &= (of_job["log_lines"] > expected and of_job["log_missing"] is None
                  and "the secret is ***" in tail and SECRET not in tail)
    rate = p50(rates)
    report.add(f"log of {megabytes} MB: masked, stored, acknowledged",
               f"{rate:,.0f} MB/s, {'no line lost' if whole else 'lines are lost or not masked'}",
               "≥ 150 MB/s", whole and rate >= 150, mb_per_s=rates, whole=whole)


def follow(report, api):
    delays = []
    for when, event in api.events(api.dispatch("log", "slow.yml")):
        if event["type"] == "log" and event["text"].startswith("line "):
            delays.append(when - float(event["text"].split()[1]))
    if len(delays) != 100:
        raise stage.Fault(f"a follower saw {len(delays)} of 100 lines")
    value = p50(delays)
    report.add("log line written → with a follower, p50", f"{ms(value)} (p95 {ms(at(delays, 95))})", "≤ 60 ms",
               value <= 0.060, seconds=value, p95_s=at(delays, 95))


def long_log(report, api, lines):
    detail = api.until_ended(api.dispatch("log", "long.yml"))
    job_id, times = detail["jobs"][0]["id"], []
    for number in range(40):
        start = lines * number // 40
        began = time.perf_counter()
        answer = api.open("GET", f"jobs/{job_id}/log?from={start}")
        first = answer.read(4096)
        times.append(time.perf_counter() - began)
        if len(first) < 4096 and number < 39:
            raise stage.Fault("the long log is cut")
        # What is not read of it goes with the connection.
        api.http.close()
    report.add(f"log of {lines:,} lines: first lines from any place, p50", f"{ms(p50(times))} (p95 {ms(at(times, 95))})",
               "≤ 10 ms", p50(times) <= 0.010, seconds=p50(times), p95_s=at(times, 95))
