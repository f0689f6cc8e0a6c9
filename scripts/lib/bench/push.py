"""From a push to the first line of its first step, and from the queue to a runner."""

import time

import server
from report import at, ms


def first_line(on, report):
    count = on.size(40, 5)
    with_server = server.Server(on, "push-server")
    copy = with_server.project("push", {".github/workflows/hello.yml": server.HELLO})
    with_server.until_idle()
    api, seen, pushes, waits = with_server.connection(), [], [], []
    for _ in range(count):
        server.git(copy, "commit", "--quiet", "--allow-empty", "--message", "next")
        began = time.time()
        server.git(copy, "push", "--quiet", "origin", "main")
        pushed = time.time()
        run = api.newest_run("push")
        for when, event in api.events(run):
            if event["type"] == "log" and event["step"] == 1 and event["text"].startswith("first "):
                seen.append(when - pushed)
        pushes.append(pushed - began)
        waits += waited(api, run)
    for _ in range(on.size(160, 5)):
        run = api.dispatch("push", "hello.yml")
        api.until_ended(run)
        waits += waited(api, run)
    with_server.stop()
    for percent, most in ((50, 0.150), (95, 0.300)):
        value = at(seen, percent)
        report.add(f"push returns → first line, p{percent}", f"{ms(value)} ({len(seen)} pushes, each {ms(at(pushes, percent))})",
                   f"≤ {ms(most)}", len(seen) == count and value <= most, seconds=value, push_s=at(pushes, percent))
    for percent, most in ((50, 0.010), (99, 0.050)):
        value = at(waits, percent)
        report.add(f"enqueue → leased, p{percent}", f"{value * 1e3:.0f} ms ({len(waits)} jobs)",
                   f"≤ {most * 1e3:.0f} ms", value <= most, seconds=value)


def waited(api, run):
    """By the server's own clock, in whole milliseconds."""
    jobs = api.call("GET", f"runs/{run}")["jobs"]
    return [(job["started_at"] - job["created_at"]) / 1e3 for job in jobs]
