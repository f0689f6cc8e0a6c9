"""Shows Pilotage's main job on OmniLife, or on a small program, point by point, with a table at the end."""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
import urllib.request

from world import Fault, Load, LISTEN, Slack, World, failed, lost, need_free

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLES = os.path.join(HERE, "..", "..", "examples")
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
            took = "" if took is None else f"{took * 1000:.0f} ms" if took < 1 else f"{took:.1f} s"
            requests = "" if requests is None else f"{requests:,}"
            bad = "" if bad is None else f"{bad:,}"
            print(f"{'✓' if good else '✕'} {name:<42}{took:>9}{requests:>11}{bad:>9}   {note}")
        return all(row[0] for row in self.rows)


class Hello:
    """The small program: Python alone, nothing to install."""

    folder, project, rate, first_run = "hello", "demo/hello", 100, 60
    changes = {"good": "good", "some": "some-fail", "all": "all-fail", "slow": "twice-as-slow", "crash": "crash-at-start"}

    def prepare(self, demo):
        pass

    def load(self, world):
        return Load(world, "127.0.0.1:3000", "/", self.rate)


class OmniLife:
    """The platform: a backend, a frontend, their pipeline with tests, scans, approvals and Slack."""

    folder, project, rate, first_run = "omnilife", "omnilife/platform", 40, 400
    changes = {"good": "frontend-only", "some": "errors-20", "all": "errors-all", "slow": "slow", "crash": "crash"}

    def prepare(self, demo):
        world = demo.world
        for environment in ("staging", "production"):
            database = os.path.join(world.root, f"{environment}.db")
            world.api("PUT", f"projects/{world.name}/secrets/DATABASE_URL",
                      {"value": f"sqlite:///{database}", "environment": environment})
        world.api("PUT", f"projects/{world.name}/secrets/SLACK_WEBHOOK_URL", {"value": demo.slack.url})
        demo.rules("staging", branches=["dev", "main"])
        demo.rules("production", branches=["main"])

    def load(self, world):
        """A person of the platform, who looks at their habits all the time."""
        person = {"name": "Load", "email": f"load-{time.time_ns()}@example.com", "password": "looks all the time"}
        token = post("http://127.0.0.1:3000/api/users", person)["token"]
        return Load(world, "127.0.0.1:3000", "/api/habits", self.rate, f"Authorization: Bearer {token}")


def post(url, body):
    request = urllib.request.Request(url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


class Demo:
    def __init__(self, world, show, example):
        self.world, self.show, self.example = world, show, example
        self.load = None
        self.slack = Slack()

    def rules(self, environment, **rules):
        self.world.api("PUT", f"projects/{self.world.name}/environments/{environment}/rules", rules)

    def push(self, branch):
        before = {d["id"] for d in self.all_deployments()}
        said = self.world.git("push", "--quiet", "origin", f"HEAD:{branch}")
        for line in said.splitlines():
            if line.startswith("remote:") and line[7:].strip():
                self.show.line(line.rstrip())
        return before

    def all_deployments(self):
        return self.world.deployments("staging") + self.world.deployments("production")

    def deployment_after(self, before, environment, seconds=None):
        """The number of the deployment to an environment that a push began."""
        deadline = time.time() + (seconds or self.example.first_run)
        while time.time() < deadline:
            new = [d["id"] for d in self.world.deployments(environment) if d["id"] not in before]
            if new:
                return min(new)
            runs = self.world.api("GET", "runs?limit=1")
            if runs and runs[0]["status"] == "completed" and runs[0]["conclusion"] != "success":
                raise Fault("a run ended before it deployed anything:\n" + self.why_failed(runs[0]["id"]))
            self.show.now(self.at_work(runs[0]) if runs else "the push arrives")
            time.sleep(0.1)
        raise Fault("no deployment began")

    def why_failed(self, run):
        """The run as `pilotage run view` shows it, and the end of the log of what failed."""
        log = self.world.command("run", "view", str(run), "--log-failed")
        return self.world.command("run", "view", str(run)) + "\n" + "\n".join(log.splitlines()[-20:])

    def at_work(self, run):
        """Which jobs of a run are at work."""
        jobs = self.world.api("GET", f"runs/{run['id']}")["jobs"]
        busy = [f"{j['name']}: {step_of(j)}" for j in jobs if j["status"] == "in_progress"]
        return f"run {run['id']}: " + ("; ".join(busy) or run["why"] or run["status"].replace("_", " "))

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
        self.load = self.example.load(self.world)
        time.sleep(3)

    def canary(self):
        """A good change; with OmniLife somebody else has to approve it, and does so in a browser."""
        self.show.title(f"2  a good change to production, 5·25·50 %, under {self.example.rate} requests a second")
        self.world.change(self.example.changes["good"], "A good change")
        asked = isinstance(self.example, OmniLife)
        if asked:
            self.rules("production", branches=["main"], reviewers=["bo"])
        start = time.time()
        before = self.push("main")
        if asked:
            self.approve()
        number = self.deployment_after(before, "production")
        detail = self.follow(number)
        samples = self.load.between(start, time.time())
        bad = sum(map(failed, samples))
        good = detail["deployment"]["outcome"] == "live" and bad == 0
        self.show.row(good, "2 main → production, 5·25·50 %", time.time() - start, len(samples), bad, last(detail, "live: ") or last(detail, "live"))
        if asked:
            self.rules("production", branches=["main"])

    def approve(self):
        """7: production waits for bo, who looks at the run's page and approves."""
        bo = self.world.api("POST", "tokens", {"name": "bo", "kind": "person", "scopes": ["read", "deploy"]})["token"]
        deadline = time.time() + self.example.first_run
        while True:
            run = self.world.api("GET", "runs?limit=1")[0]
            jobs = self.world.api("GET", f"runs/{run['id']}")["jobs"]
            job = next((j for j in jobs if j["environment"] == "production" or j["key"] == "production"), None)
            if job and "approval" in (job["why"] or ""):
                break
            if run["status"] == "completed" or time.time() > deadline:
                raise Fault(f"production does not wait for an approval: run {run['id']} {run['status']}")
            self.show.now(self.at_work(run))
            time.sleep(0.1)
        path = f"/{self.world.name}/runs/{run['id']}"
        self.show.line(f"{job['why']}: bo opens {self.world.url}{path} and clicks Approve")
        start = time.time()
        said = self.world.click(bo, path, "Approve").strip()
        self.show.row(True, "7 approval in the browser", time.time() - start, note=said)

    def backend_alone(self):
        """How long a change of the backend alone takes, from the push to staging with its smoke and end-to-end tests."""
        self.show.title("   a change of the backend alone, to staging")
        self.world.git("checkout", "--quiet", "-B", "dev", "HEAD")
        self.world.change("backend-only", "Nothing is kept on the way")
        start = time.time()
        self.deployment_after(self.push("dev"), "staging")
        run = self.world.api("GET", "runs?limit=1")[0]
        while run["status"] != "completed":
            self.show.now(self.at_work(run))
            time.sleep(0.1)
            run = self.world.api("GET", f"runs/{run['id']}")["run"]
        self.show.row(run["conclusion"] == "success", "  backend alone → staging, whole pipeline", time.time() - start,
                      note=f"run {run['id']}, with caches; the frontend was not built again")
        self.world.git("checkout", "--quiet", "main")

    def bad(self, point, name, change, message, never=False):
        self.show.title(f"{point}  a change to production: {message}")
        self.world.change(self.example.changes[change], message)
        start = time.time()
        number = self.deployment_after(self.push("main"), "production")
        detail = self.follow(number, seconds=180)
        end = time.time()
        samples = self.load.between(start, end + 1)
        revision = detail["deployment"]["revision"]
        met = [s for s in samples if s[3] == revision]
        errors, gone = sum(map(failed, samples)), [s for s in samples if lost(s)]
        elsewhere = [s for s in samples if failed(s) and s[3] != revision]
        good = detail["deployment"]["outcome"] == "rolled-back" and not gone and not elsewhere
        judged = [s for s in detail["services"] if s.get("verdict")]
        service = (judged or detail["services"])[0]
        if never:
            good = good and not met
            note = f"got {len(met)} requests: {detail['deployment']['reason']}"
            took = end - start
        else:
            good = good and service.get("verdict") is not None
            first = min((s[0] for s in met if change == "slow" or failed(s)), default=int(end * 1e6))
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

    def slack_heard(self):
        texts = self.slack.texts()
        self.show.title("8  what Slack was told")
        for text in texts:
            self.show.line(text[:200])
        wanted = ("staging", "production", "rolled back", "waits")
        missing = [word for word in wanted if not any(word in text.replace("-", " ") for text in texts)]
        note = f"{len(texts)} messages" + (f"; none says {', '.join(missing)}" if missing else "")
        self.show.row(not missing, "8 messages to Slack", None, note=note)

    def run(self):
        self.world.configure("outgoing: {allow: [127.0.0.1/32]}\n")
        self.world.start()
        self.show.line(f"the pages: {self.world.url}, to sign in with the token in {self.world.data}/admin-token")
        self.world.create_project()
        self.example.prepare(self)
        self.first_production()
        self.staging()
        self.canary()
        self.bad("3a", "3a 20 % errors, taken back", "some", "one answer in five fails")
        self.bad("3b", "3b all fail, taken back", "all", "every answer fails")
        self.bad("4a", "4a twice as slow, taken back", "slow", "answers take twice as long")
        self.bad("4b", "4b crashes at start", "crash", "it crashes at its start", never=True)
        self.kills()
        self.rollback()
        if isinstance(self.example, OmniLife):
            self.backend_alone()
            self.slack_heard()
        self.show.row(True, "9 the pages", None, note=f"{self.world.url}, open all the time")


def step_of(job):
    step = next((s["name"] for s in job["steps"] if s["status"] == "in_progress"), "")
    return step or "begins"


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
    arguments.add_argument("--small", action="store_true", help="with the small Python program instead of OmniLife")
    arguments.add_argument("--exit", action="store_true", help="end after the show")
    arguments.add_argument("--keep", help="a folder for the data, which is kept")
    chosen = arguments.parse_args()
    show = Show()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="pilotage-demo-") as root:
        root = chosen.keep or root
        os.makedirs(root, exist_ok=True)
        example = Hello() if chosen.small else OmniLife()
        world = World(chosen.bin, root, os.path.join(EXAMPLES, example.folder), example.project)
        demo = Demo(world, show, example)
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
