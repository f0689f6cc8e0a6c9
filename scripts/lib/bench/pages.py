"""The pages of a server that has stored a million runs: how soon they are there, and what they weigh."""

import gzip
import http.client
import os
import re
import time
import urllib.parse

import crates
import server
import stage
from report import at, ms, p50

HTML_MAX, STYLE_MAX, SCRIPT_MAX = 40_000, 15_000, 20_000
# The specification of the pages says 30 ms, the design 10.
LATE, WANTED = 0.030, 0.010
EACH_KIND = 3
LINK = re.compile(rb'<a [^>]*?href="([^"]+)"([^>]*)')
ASSET = re.compile(r'(?:href|src)="(/-/assets/[^"]+\.(?:css|js))"')
IMPORT = re.compile(r'(?:from|import) "\./([a-z_]+\.js)"')
# What people look for; each is answered by an index or not at all.
LISTS = {
    "status of all projects": "status",
    "newest runs": "runs",
    "runs of a project": "runs?project=load/project-7",
    "runs of a commit": "runs?sha=00000000000000000000000000000000000000",
    "runs by nobody": "runs?actor=nobody",
    "runs of a branch that no project has": "runs?branch=nowhere",
    "runs that failed": "runs?status=failure",
    "runs that failed, of a project and a person": "runs?project=load/project-7&status=failure&actor=person-3",
    "runs that wait": "runs?status=queued",
    "deployments of a project": "projects/load/project-1/deployments",
    "releases of a project": "projects/load/project-1/releases",
}
WORK = """on: [push, workflow_dispatch]
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - run: seq 1 2000
  test:
    needs: build
    runs-on: ubuntu-latest
    steps:
      - run: seq 1 100
      - run: echo '::error file=a.py,line=3::it is not 4'; exit 1
"""


def measure(on, report):
    runs = on.size(1_000_000, 2_000)
    with_server = server.Server(on, "pages-server")
    with_server.project("work", {".github/workflows/work.yml": WORK})
    with_server.until_idle()
    with_server.stop()
    crates.cargo(on, "run", "--release", "--package", "pilotage-store", "--example", "fill", "--", with_server.data, str(runs))
    with_server.start()
    begin = ["/", f"/{server.OWNER}/work/runs", "/load/project-1/runs", "/load/project-1/environments/production",
             f"/load/project-1/deployments/{1_000_000 + runs // 200 * 200}", "/search?q=fix", "/audit", "/runs", "/me"]
    reader = Reader(with_server)
    kinds = crawl(reader, begin)
    for kind, paths in sorted(kinds.items()):
        page(report, reader, kind, paths, on.size(40, 5))
    weights(report, reader)
    api = with_server.connection()
    for what, path in LISTS.items():
        times = [timed(lambda: api.call("GET", path)) for _ in range(on.size(20, 5))]
        late(report, f"API: {what}", times)
    commands(on, report, with_server)
    with_server.stop()


class Reader:
    """A browser that signed in, as far as a server sees it: one connection, kept open."""

    def __init__(self, of):
        self.port, self.http = of.port, http.client.HTTPConnection("127.0.0.1", of.port, timeout=60)
        fields = urllib.parse.urlencode({"token": of.token, "to": "/"})
        self.http.request("POST", "/login", fields, {"content-type": "application/x-www-form-urlencoded"})
        answer = self.http.getresponse()
        answer.read()
        self.headers = {"cookie": answer.headers["set-cookie"].split(";")[0], "accept-encoding": "gzip", "accept": "text/html"}

    def get(self, path):
        """Status, headers, seconds until the answer began, and its body as it came."""
        began = time.perf_counter()
        self.http.request("GET", path, headers=self.headers)
        answer = self.http.getresponse()
        took = time.perf_counter() - began
        return answer.status, answer.headers, took, answer.read()

    def text(self, path):
        _, headers, _, body = self.get(path)
        return gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body


def crawl(reader, begin):
    """A few pages of each kind that links lead to."""
    kinds, waiting = {}, list(begin)
    while waiting:
        path = waiting.pop(0)
        seen = kinds.setdefault(kind(path), [])
        if len(seen) == EACH_KIND or path in seen:
            continue
        status, headers, _, _ = reader.get(path)
        if status == 303:
            waiting.append(headers["location"])
            continue
        if status != 200 or not headers["content-type"].startswith("text/html"):
            continue
        seen.append(path)
        for found, rest in LINK.findall(reader.text(path)):
            to = found.decode().split("#")[0].replace("&amp;", "&")
            if to.startswith("/") and not to.startswith(("/-/", "/api/")) and b"download" not in rest and "/raw" not in to:
                waiting.append(to)
    return {name: paths for name, paths in kinds.items() if paths}


def kind(path):
    """A path with its numbers and names left out."""
    path, _, query = path.partition("?")
    parts = path.split("/")
    if len(parts) > 2 and parts[1] not in ("settings", "me", "audit"):
        parts[1], parts[2] = "o", "n"
    parts = ["N" if part.isdigit() else part for part in parts]
    for place in range(4, len(parts)):
        if parts[place - 1] in ("environments", "workflows"):
            parts[place] = "x"
    names = sorted(part.split("=")[0] for part in query.split("&") if part)
    return "/".join(parts) + (f"?{'&'.join(names)}" if names else "")


def page(report, reader, name, paths, times):
    took, weight = [], 0
    for path in paths:
        reader.get(path)
        for _ in range(times):
            _, _, seconds, body = reader.get(path)
            took.append(seconds)
            weight = max(weight, len(body))
    value = at(took, 95)
    report.add(f"page {name}", f"p50 {ms(p50(took))}, p95 {ms(value)}; {weight / 1000:.1f} KB", "p95 ≤ 30 ms; ≤ 40 KB",
               value <= LATE and weight <= HTML_MAX, seconds=p50(took), p95_s=value, bytes=weight)


def late(report, what, times):
    value = at(times, 95)
    report.add(what, f"p50 {ms(p50(times))}, p95 {ms(value)}", "p95 ≤ 30 ms", value <= LATE, seconds=p50(times), p95_s=value)


def weights(report, reader):
    """What a page loads beside itself, once."""
    waiting = ASSET.findall(reader.text("/").decode())
    sizes, base = {}, os.path.dirname(waiting[0])
    while waiting:
        path = waiting.pop()
        if path not in sizes:
            sizes[path] = len(reader.get(path)[3])
            waiting += [f"{base}/{name}" for name in IMPORT.findall(reader.text(path).decode())]
    for what, end, most in (("style sheets", ".css", STYLE_MAX), ("scripts", ".js", SCRIPT_MAX)):
        size = sum(size for path, size in sizes.items() if path.endswith(end))
        report.add(f"{what}, compressed", f"{size / 1000:.1f} KB", f"≤ {most // 1000} KB", 0 < size <= most, bytes=size)


def commands(on, report, of):
    """Commands of people, from their start to their end."""
    environment = dict(os.environ, PILOTAGE_URL=f"http://127.0.0.1:{of.port}", PILOTAGE_TOKEN=of.token)
    for command in (["status", "--all"], ["run", "list", "--project", "load/project-7"], ["run", "list", "--project", "load/project-7", "--status", "failure"]):
        times = [timed(lambda: on.run(on.pilotage, *command, env=environment)) for _ in range(on.size(10, 2))]
        report.add(f"pilotage {' '.join(command)}", f"p50 {ms(p50(times))}, p95 {ms(at(times, 95))}", seconds=p50(times))


def timed(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
