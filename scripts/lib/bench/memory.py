"""What the processes that are always there take, and how soon the server is ready."""

import time

import proxy
import server
from report import ms, p50

MB = 1_000_000


def measure(on, report):
    keepers(on, report)
    projects, each = 10, on.size(100, 3)
    with_server = server.Server(on, "memory-server")
    for number in range(projects):
        with_server.project(f"idle-{number}", {".github/workflows/hello.yml": server.HELLO})
    api = with_server.connection()
    for number in range(projects):
        for _ in range(each - 1):
            api.dispatch(f"idle-{number}", "hello.yml")
    with_server.until_idle(300)
    what = f"server, {projects} projects, {projects * each:,} runs"
    # What it does after the last run (archives its log) is over by then.
    time.sleep(2)
    worked = resident(with_server.process.pid)
    report.add(f"{what}: resident after them", megabytes(worked), "≤ 25 MB", worked <= 25 * MB, bytes=worked)
    starts = []
    for _ in range(on.size(20, 3)):
        with_server.stop()
        starts.append(with_server.start())
    time.sleep(1)
    idle = resident(with_server.process.pid)
    report.add(f"{what}: resident after a restart", megabytes(idle), "≤ 25 MB", idle <= 25 * MB, bytes=idle)
    report.add(f"{what}: start → ready, p50", f"{ms(p50(starts))} (highest {ms(max(starts))})", "≤ 100 ms",
               p50(starts) <= 0.1, seconds=starts)
    with_server.stop()


def keepers(on, report):
    processes = [proxy.keeper(on, f"keepers/{number}", ["sleep", "100000"]) for number in range(8)]
    time.sleep(0.5)
    whole = max(resident(process.pid) for process in processes)
    share = p50([proportional(process.pid) for process in processes])
    report.add("keeper, resident", f"{megabytes(whole)} (its share of what 8 of them have in common: {megabytes(share)})", "≤ 2 MB",
               whole <= 2 * MB, bytes=whole, proportional_bytes=share)


def resident(pid):
    return kilobytes(f"/proc/{pid}/status", "VmRSS:")


def proportional(pid):
    return kilobytes(f"/proc/{pid}/smaps_rollup", "Pss:")


def kilobytes(path, key):
    with open(path) as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(key))


def megabytes(size):
    return f"{size / MB:.1f} MB"
