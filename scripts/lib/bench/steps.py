"""What a `run` step costs above its shell, and many small jobs above as many shells."""

import json
import os
import subprocess
import time

import server
import stage
from report import at, ms, p50


def workflow(steps, legs=0):
    matrix = f"    strategy:\n      matrix:\n        leg: [{', '.join(map(str, range(legs)))}]\n" if legs else ""
    return ("on: [push, workflow_dispatch]\njobs:\n  test:\n    runs-on: ubuntu-latest\n" + matrix
            + "    steps:\n" + "      - run: 'true'\n" * steps)


def overhead(on, report):
    """Rounds of steps and of bare shells by turns, so that both meet the same machine."""
    rounds, count = on.size(12, 3), on.size(40, 10)
    on.write("steps/.github/workflows/steps.yml", workflow(count + 1))
    script = on.write("steps/true.sh", "true")
    steps, bare = [], []
    for _ in range(rounds):
        steps += times_of_steps(on)
        bare += [bare_shell(script) for _ in range(count)]
    for percent, most in ((50, 0.001), (95, 0.002)):
        above = at(steps, percent) - at(bare, percent)
        report.add(f"host step above its shell, p{percent}",
                   f"{ms(above)} ({ms(at(steps, percent))}, bash {ms(at(bare, percent))})",
                   f"≤ {ms(most)}", above <= most, step_s=at(steps, percent), bash_s=at(bare, percent), count=len(steps))


def times_of_steps(on):
    """From each step's end to the next one's, as they come out of `exec --json`."""
    process = on.start(on.pilotage, "exec", "-C", os.path.join(on.root, "steps"), "--json", stdout=subprocess.PIPE)
    came, text = [], b""
    # Only read here, and understood when all is over: reading must not slow what it measures.
    while chunk := os.read(process.stdout.fileno(), 1 << 16):
        came.append((len(text), time.perf_counter()))
        text += chunk
    if process.wait():
        raise stage.Fault("exec of empty steps is not green")
    ends, offset, piece = [], 0, 0
    for line in text.splitlines(keepends=True):
        offset += len(line)
        while piece + 1 < len(came) and came[piece + 1][0] < offset:
            piece += 1
        if json.loads(line)["type"] == "step":
            ends.append(came[piece][1])
    return [later - earlier for earlier, later in zip(ends, ends[1:])]


def bare_shell(script):
    began = time.perf_counter()
    pid = os.posix_spawn("/bin/bash", ["bash", "-e", script], os.environ)
    os.waitpid(pid, 0)
    return time.perf_counter() - began


def many(on, report):
    """The shells are started by xargs, which costs next to nothing."""
    rounds, legs = on.size(3, 1), on.size(100, 10)
    on.write("many/.github/workflows/many.yml", workflow(10, legs))
    script = on.write("many/true.sh", "true")
    shells, executed, served = [], [], []
    with_server = Served(on, workflow(10, legs))
    for _ in range(rounds):
        shells.append(timed(lambda: on.run(
            "sh", "-c", f"seq {legs * 10} | xargs -P 2 -I '{{}}' bash -e {script}")))
        executed.append(timed(lambda: on.run(
            on.pilotage, "exec", "-C", os.path.join(on.root, "many"), "--parallel", "2", "--json")))
        served.append(with_server.run())
    with_server.stop()
    for name, times in (("exec", executed), ("server and runner", served)):
        ratio = p50(times) / p50(shells)
        report.add(f"{legs} jobs of 10 empty steps, {name}", f"{ratio:.2f} × ({p50(times):.2f} s, shells {p50(shells):.2f} s)",
                   "≤ 1.40 ×", ratio <= 1.4, seconds=times, shells_s=shells)


class Served:
    """The same jobs by a server with its runner of two slots."""

    def __init__(self, on, text):
        self.server = server.Server(on, "many-server")
        self.server.project("many", {".github/workflows/many.yml": text})
        self.server.until_idle()
        self.connection = self.server.connection()

    def run(self):
        run = self.connection.dispatch("many", "many.yml")
        detail = self.connection.until_ended(run)
        return (detail["run"]["ended_at"] - detail["run"]["created_at"]) / 1e3

    def stop(self):
        self.server.stop()


def timed(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
