"""Shows Pilotage's main job on a small program, in six points, with a table at the end."""

import argparse
import os
import signal
import sys
import tempfile
import time

from world import Fault, Load, LISTEN, World, failed, lost, need_free

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLE = os.path.join(HERE, "..", "..", "examples", "hello")
RATE = 100
ENDED = ("live", "rolled-back", "aborted", "needs-attention")


class Show:
    """What people see: a live line on a terminal, plain lines elsewhere; the table."""

    def __init__(self):
        self.live = sys.stderr.isatty()
        self.start = time.time()
        self.last = ""
        self.rows = []

    def title(self, text):
        self.clear()
        print(f"\n{text}", file=sys.stderr)

    def line(self, text):
        self.clear()
        print(f"  {time.time() - self.start:6.1f} s  {text}", file=sys.stderr)

    def now(self, text):
        """What goes on at this moment: drawn in place on a terminal, said once elsewhere."""
        if self.live:
            width = os.get_terminal_size(sys.stderr.fileno()).columns
            sys.stderr.write(f"\r\033[K  {time.time() - self.start:6.1f} s  {text}"[:width + 4])
            sys.stderr.flush()
        elif text.split("  ")[0] != self.last:
            self.last = text.split("  ")[0]
            self.line(self.last)

    def clear(self):
        if self.live:
            sys.stderr.write("\r\033[K")

    def row(self, good, name, took, requests=None, bad=None, note=""):
        self.rows.append((good, name, took, requests, bad, note))
        self.line(f"{'✓' if good else '✕'} {name}  {note}")

    def table(self):
        print(f"\n{'':44}{'took':>9}{'requests':>11}{'failed':>9}   note")
        for good, name, took, requests, bad, note in self.rows:
            took = f"{took * 1000:.0f} ms" if took < 1 else f"{took:.1f} s"
            requests = "" if requests is None else f"{requests:,}"
            bad = "" if bad is None else f"{bad:,}"
            print(f"{'✓' if good else '✕'} {name:<42}{took:>9}{requests:>11}{bad:>9}   {note}")
        return all(row[0] for row in self.rows)


class Demo:
    def __init__(self, world, show):
        self.world, self.show = world, show
        self.load = None

    def push(self, branch):
        before = {d["id"] for d in self.all_deployments()}
        said = self.world.git("push", "--quiet", "origin", f"HEAD:{branch}")
        for line in said.splitlines():
            if line.startswith("remote:") and line[7:].strip():
                self.show.line(line.rstrip())
        return before

    def all_deployments(self):
        return self.world.deployments("staging") + self.world.deployments("production")

    def deployment_after(self, before, environment, seconds=60):
        """The number of the deployment to an environment that a push began."""
        deadline = time.time() + seconds
        while time.time() < deadline:
            new = [d["id"] for d in self.world.deployments(environment) if d["id"] not in before]
            if new:
                return min(new)
            runs = self.world.api("GET", "runs?limit=1")
            if runs and runs[0]["status"] == "completed" and runs[0]["conclusion"] != "success":
                raise Fault(f"run {runs[0]['id']} ended before it deployed anything: {runs[0]['conclusion']}")
            self.show.now("the workflow runs" + (f": {runs[0]['status']}" if runs else ""))
            time.sleep(0.1)
        raise Fault("no deployment began")

    def follow(self, number, until=lambda d: d["deployment"]["outcome"], seconds=90):
        deadline = time.time() + seconds
        while time.time() < deadline:
            try:
                detail = self.world.deployment(number)
            except OSError:
                self.show.now("the server is away")
                time.sleep(0.1)
                continue
            self.show.now(describe(detail))
            if until(detail):
                return detail
            time.sleep(0.05)
        raise Fault(f"deployment {number} does not end: {describe(detail)}")

    # The points.

    def staging(self):
        self.show.title("1  git push of dev: run, tests, staging")
        start = time.time()
        number = self.deployment_after(self.push("dev"), "staging")
        detail = self.follow(number, lambda d: d["has_all_traffic"] or d["deployment"]["outcome"])
        good = detail["has_all_traffic"]
        self.show.row(good, "1 push of dev → staging", time.time() - start, note=detail["deployment"]["url"])
        self.follow(number)

    def first_production(self):
        self.show.title("   git push of main: the first release in production")
        number = self.deployment_after(self.push("main"), "production")
        detail = self.follow(number)
        if detail["deployment"]["outcome"] != "live":
            raise Fault(f"the first release did not go live: {describe(detail)}")
        self.load = Load(self.world, "127.0.0.1:3000", RATE)
        time.sleep(3)

    def canary(self):
        self.show.title(f"2  a good change to production, 5·25·50 %, under {RATE} requests a second")
        self.world.change("good", "Fewer greetings")
        start = time.time()
        number = self.deployment_after(self.push("main"), "production")
        detail = self.follow(number)
        samples = self.load.between(start, time.time())
        bad = sum(map(failed, samples))
        good = detail["deployment"]["outcome"] == "live" and bad == 0
        self.show.row(good, "2 main → production, 5·25·50 %", time.time() - start, len(samples), bad, last(detail, "live"))

    def bad(self, point, name, change, message, never=False):
        self.show.title(f"{point}  a change to production: {message}")
        self.world.change(change, message)
        start = time.time()
        number = self.deployment_after(self.push("main"), "production")
        detail = self.follow(number, seconds=120)
        end = time.time()
        samples = self.load.between(start, end + 1)
        revision = detail["deployment"]["revision"]
        met = [s for s in samples if s[3] == revision]
        errors, gone = sum(map(failed, samples)), [s for s in samples if lost(s)]
        elsewhere = [s for s in samples if failed(s) and s[3] != revision]
        good = detail["deployment"]["outcome"] == "rolled-back" and not gone and not elsewhere
        service = detail["services"][0]
        if never:
            good = good and not met
            note = f"got {len(met)} requests: {detail['deployment']['reason']}"
            took = end - start
        else:
            good = good and service.get("verdict") is not None
            first = min((s[0] for s in met if change == "twice-as-slow" or failed(s)), default=int(end * 1e6))
            took = (max((s[0] for s in met), default=first) - first) / 1e6
            back = service.get("returned_in_us")
            back = "" if back is None else f", last one {back / 1000:.1f} ms after the deciding answer"
            note = f"{len(met)} requests met it{back}; {service.get('verdict')}"
        verified = last(detail, "verified")
        self.show.row(good, name, took, len(samples), errors, note)
        self.show.line(verified)
        self.world.revert()

    def kills(self):
        self.show.title("5  kill -9 of a keeper, the proxy, the runner and the server, in the middle of a deployment")
        self.world.git("commit", "--quiet", "--allow-empty", "--message", "Nothing new, but a release")
        start = time.time()
        number = self.deployment_after(self.push("main"), "production")
        self.follow(number, lambda d: d["deployment"]["state"] in ("shifting",) + ENDED)
        kills = []
        for kind, which in (("keep", "--production--"), ("proxy", ""), ("runner", ""), ("serve", "")):
            pid = next((pid for pid, a in self.world.processes(kind) if which in " ".join(a)), None)
            if pid is None:
                raise Fault(f"there is no process to kill: {kind}")
            os.kill(pid, signal.SIGKILL)
            kills.append((kind, time.time()))
            self.show.line(f"killed {kind} ({pid})")
            if kind == "serve":
                self.world.server.wait()
                time.sleep(0.5)
                self.world.start()
                self.show.line("the server was started again, as a service manager does")
            time.sleep(1.5)
        detail = self.follow(number, seconds=120)
        samples = self.load.between(start, time.time())
        bad = [s for s in samples if failed(s)]
        killed_at = dict(kills)["proxy"]
        in_flight = [s for s in bad if s[2] in ("reset", "truncated") and abs(s[0] / 1e6 - killed_at) < 1.0]
        good = detail["deployment"]["outcome"] == "live" and len(bad) == len(in_flight)
        note = f"deployment {detail['deployment']['outcome']}; " + (
            f"all {len(bad)} were in flight in the killed proxy" if len(bad) == len(in_flight)
            else f"{len(bad) - len(in_flight)} lost elsewhere: {[s[2:4] for s in bad if s not in in_flight][:5]}")
        self.show.row(good, "5 kill -9 keeper, proxy, runner, serve", time.time() - start, len(samples), len(bad), note)

    def rollback(self):
        self.show.title("6  pilotage rollback production")
        start = time.time()
        before = {d["id"] for d in self.all_deployments()}
        self.world.command("rollback", "production", "--reason", "by hand")
        number = self.deployment_after(before, "production")
        detail = self.follow(number)
        moments = detail["moments"]
        took = (moments[-1]["at"] - moments[0]["at"]) / 1000
        samples = self.load.between(start, time.time())
        bad = sum(map(failed, samples))
        verified = last(detail, "verified") or "not verified"
        good = detail["deployment"]["outcome"] == "live" and bad == 0 and verified != "not verified"
        self.show.row(good, "6 rollback by hand", took, len(samples), bad, verified)

    def run(self):
        self.world.start()
        self.show.line(f"server at {self.world.url}")
        self.world.create_project()
        self.staging()
        self.first_production()
        self.canary()
        self.bad("3a", "3a 20 % errors, taken back", "some-fail", "one answer in five fails")
        self.bad("3b", "3b all fail, taken back", "all-fail", "every answer fails")
        self.bad("4a", "4a twice as slow, taken back", "twice-as-slow", "answers take twice as long")
        self.bad("4b", "4b crashes at start", "crash-at-start", "it crashes at its start", never=True)
        self.kills()
        self.rollback()


def last(detail, word):
    """The last line of a deployment's history that begins with a word."""
    return next((m["text"] for m in reversed(detail["moments"]) if m["text"].startswith(word)), "")


def describe(detail):
    deployment = detail["deployment"]
    text = f"#{deployment['id']} {deployment['environment']} {deployment['state']}"
    for service in detail["services"]:
        if service["share"]:
            text += f" {service['share'] / 100:g} %"
        new = service.get("new")
        if new:
            text += f"  {new['requests']} answers, {new['errors']} failed, p95 {new['p95_us'] / 1000:.0f} ms"
        if service.get("one_in"):
            text += f", evidence 1 in {service['one_in']:,.0f}"
    if deployment["reason"]:
        text += f"  {deployment['reason']}"
    return text


def main():
    arguments = argparse.ArgumentParser(description="Shows Pilotage's main job.")
    arguments.add_argument("--bin", required=True)
    arguments.add_argument("--exit", action="store_true", help="end after the show")
    arguments.add_argument("--keep", help="a folder for the data, which is kept")
    chosen = arguments.parse_args()
    show = Show()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="pilotage-demo-") as root:
        root = chosen.keep or root
        os.makedirs(root, exist_ok=True)
        world = World(chosen.bin, root, EXAMPLE)
        demo = Demo(world, show)
        good = False
        try:
            for address in (LISTEN, "127.0.0.1:3000", "127.0.0.1:3100"):
                need_free(address)
            demo.run()
            good = show.table()
            if not chosen.exit:
                print(f"\nIt stays up: http://127.0.0.1:3000 and http://127.0.0.1:3100, the server at {world.url}")
                print(f"  export PILOTAGE_URL={world.url} PILOTAGE_TOKEN=$(cat {world.data}/admin-token)")
                print(f"  cd {world.project} && {world.pilotage} status\nInterrupt to end.")
                signal.pause()
        except KeyboardInterrupt:
            pass
        except Fault as fault:
            show.table()
            print(f"\n✕ {fault}", file=sys.stderr)
        finally:
            show.clear()
            if demo.load:
                demo.load.stop()
            world.stop()
    sys.exit(0 if good else 1)


main()
