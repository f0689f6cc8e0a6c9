"""Our proxy beside nginx and haproxy: the same upstream, cores and connections, all access logs on, by turns."""

import json
import os
import shutil
import socket
import time

import stage
from report import p50, us

# What wrk says at its end, for programs.
DONE = """
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d\\n", summary.requests, summary.duration,
    e.connect + e.read + e.write + e.timeout + e.status, latency:percentile(50), latency:percentile(99)))
end
"""
# Milliseconds that each connection waits before each request, for a load that is not the highest.
PAUSE_MS = 2
# Linux shares processors among sessions first (autogroup). A keeper's process has a session of its own, so all have.
ALONE = {"start_new_session": True}


def measure(on, report):
    os.environ["PATH"] += ":/usr/sbin"
    for program in ("nginx", "wrk"):
        if not shutil.which(program):
            raise stage.Fault(f"{program} is missing: apt-get install {program}")
    upstream = start_upstream(on)
    proxies = {"nginx": start_nginx(on, upstream), "pilotage": start_ours(on, upstream)}
    if shutil.which("haproxy"):
        proxies["haproxy"] = start_haproxy(on, upstream)
    else:
        report.missing("proxy beside haproxy", "haproxy is missing: apt-get install haproxy")
    wrk = Wrk(on)
    for port in proxies.values():
        wrk.run(port, 1, 1)
    most = throughput(on, report, wrk, proxies)
    added(on, report, wrk, upstream, proxies)
    half_load(on, report, wrk, proxies, min(most.values()) / 2)


def throughput(on, report, wrk, proxies):
    rates = rounds(on, proxies, lambda port: wrk.run(port, 64, on.size(4, 1))["rate"])
    most = {name: p50(values) for name, values in rates.items()}
    ratio = p50([ours / theirs for ours, theirs in zip(rates["pilotage"], rates["nginx"])])
    others = ", ".join(f"{name} {most[name]:,.0f}" for name in proxies if name != "pilotage")
    report.add("proxy, requests a second", f"{ratio:.2f} × nginx ({most['pilotage']:,.0f}; {others})", "≥ 0.90 × nginx",
               ratio >= 0.9, rates=rates)
    return most


def added(on, report, wrk, upstream, proxies):
    times = rounds(on, {"none": upstream} | proxies, lambda port: wrk.run(port, 1, on.size(2, 1))["p50"])
    none = p50(times["none"])
    more = {name: p50(values) - none for name, values in times.items()}
    others = ", ".join(f"{name} {us(more[name])}" for name in proxies if name != "pilotage")
    report.add("proxy, added time p50, 1 connection", f"{us(more['pilotage'])} ({others})", "≤ 30 µs",
               more["pilotage"] <= 30e-6, added_s=more)


def half_load(on, report, wrk, proxies, rate):
    connections = max(2, round(rate * (PAUSE_MS + 0.3) / 1e3))
    results = rounds(on, proxies, lambda port: wrk.run(port, connections, on.size(4, 1), paused=True))
    late = {name: p50([result["p99"] for result in of]) for name, of in results.items()}
    rates = {name: p50([result["rate"] for result in of]) for name, of in results.items()}
    if "haproxy" not in late:
        return
    more = late["pilotage"] - late["haproxy"]
    report.add("proxy, p99 at half load", f"{us(late['pilotage'])} at {rates['pilotage']:,.0f}/s, haproxy "
               f"{us(late['haproxy'])} at {rates['haproxy']:,.0f}/s, nginx {us(late['nginx'])}",
               "≤ haproxy + 200 µs", more <= 200e-6, p99_s=late, rates=rates)


def rounds(on, ports, work):
    """By turns, so that what disturbs the machine disturbs all."""
    results = {name: [] for name in ports}
    for _ in range(on.size(5, 1)):
        for name, port in ports.items():
            results[name].append(work(port))
    return results


class Wrk:
    def __init__(self, on):
        self.on = on
        self.plain = on.write("wrk/plain.lua", DONE)
        self.paused = on.write("wrk/paused.lua", f"function delay() return {PAUSE_MS} end\n{DONE}")

    def run(self, port, connections, seconds, paused=False):
        threads = min(2, connections)
        out = self.on.run("wrk", "-t", str(threads), "-c", str(connections), "-d", f"{seconds}s",
                          "-s", self.paused if paused else self.plain, f"http://127.0.0.1:{port}/")
        result = [line.split()[1:] for line in out.splitlines() if line.startswith("RESULT")]
        requests, duration, errors, middle, late = map(int, result[0])
        if errors or not requests:
            raise stage.Fault(f"{errors} of {requests} requests failed on port {port}")
        return {"rate": requests / (duration / 1e6), "p50": middle / 1e6, "p99": late / 1e6}


def start_upstream(on):
    port = stage.free_port()
    path = on.write("upstream/nginx.conf", nginx(on, "upstream", f"""
  access_log off;
  keepalive_requests 100000000;
  server {{ listen 127.0.0.1:{port} reuseport; location / {{ return 200 "hello\\n"; }} }}"""))
    on.start("nginx", "-c", path, **ALONE)
    stage.until_listening(port, "the upstream")
    return port


def start_nginx(on, upstream):
    port = stage.free_port()
    # Its log gathers lines before it writes them, as ours does.
    path = on.write("nginx/nginx.conf", nginx(on, "nginx", f"""
  access_log {on.root}/nginx/access.log combined buffer=32k flush=1s;
  keepalive_requests 100000000;
  upstream app {{ server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} reuseport;
    location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}"""))
    on.start("nginx", "-c", path, **ALONE)
    stage.until_listening(port, "nginx")
    return port


def nginx(on, name, http):
    folder = f"{on.root}/{name}"
    temporary = "\n".join(f"  {kind}_temp_path {folder}/{kind};" for kind in
                          ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    return f"""daemon off;
worker_processes {cores()};
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
{temporary}{http}
}}
"""


def start_haproxy(on, upstream):
    port = stage.free_port()
    path = on.write("haproxy/haproxy.cfg", f"""global
  nbthread {cores()}
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend in
  bind 127.0.0.1:{port}
  default_backend app
backend app
  server one 127.0.0.1:{upstream}
""")
    on.start("haproxy", "-db", "-f", path, **ALONE, stdout=open(f"{on.root}/haproxy/access.log", "ab"))
    stage.until_listening(port, "haproxy")
    return port


def start_ours(on, upstream):
    """As the server starts it: under a keeper, which holds the socket; the table comes by the control socket."""
    port, folder = stage.free_port(), on.folder("proxy")
    keeper(on, "proxy/keeper", [on.pilotage, "proxy", folder], f"listen=127.0.0.1:{port}\n")
    table = {
        "id": "bench/bench/production/web", "epoch": 1, "listen": f"127.0.0.1:{port}", "path": "/",
        "revisions": [{"revision": "one", "share": 10_000,
                       "replicas": [{"id": "one-1", "address": f"127.0.0.1:{upstream}"}]}],
    }
    until = time.monotonic() + 10
    while True:
        try:
            control = socket.socket(socket.AF_UNIX)
            control.connect(os.path.join(folder, "control"))
            break
        except OSError:
            if time.monotonic() > until:
                raise stage.Fault("the proxy does not open its control socket") from None
            time.sleep(0.02)
    control.sendall((json.dumps({"do": "apply", "table": table}) + "\n").encode())
    answer = control.makefile().readline()
    if json.loads(answer)["answer"] != "done":
        raise stage.Fault(f"the proxy does not take its table: {answer.strip()}")
    return port


def keeper(on, name, argv, more=""):
    """A keeper of a command, in a folder of its own."""
    arguments = "".join(f"arg={argument}\n" for argument in argv)
    path = os.environ["PATH"]
    on.write(f"{name}/spec", f"pilotage-keep 1\n{arguments}env=PATH={path}\ncwd=/\n{more}")
    return on.start(on.pilotage, "keep", os.path.join(on.root, name))


def cores():
    return os.cpu_count() or 1
