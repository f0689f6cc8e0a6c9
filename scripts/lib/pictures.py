"""Takes the pictures that README shows: a small world of its own, a good release, one that takes itself back."""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from world import Fault, Load, World

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLE = os.path.join(HERE, "..", "..", "examples", "hello")
ENDED = ("live", "rolled-back", "aborted", "needs-attention")
RATE = 60


def free_ports(count):
    """Ports that nobody listens on, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def example(root, staging, production):
    """The small program, on ports of its own."""
    folder = os.path.join(root, "example")
    shutil.copytree(EXAMPLE, folder)
    path = os.path.join(folder, "pilotage.yml")
    with open(path) as file:
        text = file.read().replace(":3100", f":{staging}").replace(":3000", f":{production}")
    with open(path, "w") as file:
        file.write(text)
    return folder


def push(world, branch, environment):
    """Pushes, and gives the deployment that the push began."""
    before = {d["id"] for d in world.deployments(environment)}
    world.git("push", "--quiet", "origin", f"HEAD:{branch}")
    deadline = time.time() + 120
    while time.time() < deadline:
        new = [d["id"] for d in world.deployments(environment) if d["id"] not in before]
        if new:
            return min(new)
        time.sleep(0.1)
    raise Fault(f"the push of {branch} began no deployment")


def end(world, number, expected):
    deadline = time.time() + 180
    while time.time() < deadline:
        outcome = world.deployment(number)["deployment"]["outcome"]
        if outcome in ENDED:
            if outcome != expected:
                raise Fault(f"deployment {number} ended as {outcome}, not {expected}")
            return
        time.sleep(0.1)
    raise Fault(f"deployment {number} does not end")


def play(world, production):
    """Gives the number of the deployment that went back."""
    world.start()
    world.create_project()
    end(world, push(world, "dev", "staging"), "live")
    end(world, push(world, "main", "production"), "live")
    load = Load(world, f"127.0.0.1:{production}", "/", RATE)
    try:
        # Enough of both for plots that show something.
        time.sleep(20)
        world.change("good", "Answer with the visitor's number")
        end(world, push(world, "main", "production"), "live")
        time.sleep(20)
        world.change("some-fail", "Tell the mood of the day")
        bad = push(world, "main", "production")
        end(world, bad, "rolled-back")
        time.sleep(12)
        return bad
    finally:
        load.stop()


def main():
    arguments = argparse.ArgumentParser(description="Takes the pictures that README shows.")
    arguments.add_argument("--bin", required=True)
    arguments.add_argument("--into", required=True)
    chosen = arguments.parse_args()
    listen, staging, production = free_ports(3)
    with tempfile.TemporaryDirectory(prefix="pilotage-pictures-") as root:
        # Others must be able to enter, or jobs cannot run as users of their own.
        os.chmod(root, 0o755)
        folder = example(root, staging, production)
        world = World(chosen.bin, root, folder, "demo/hello", f"127.0.0.1:{listen}")
        try:
            bad = play(world, production)
            pictures = {
                "rollback": f"/demo/hello/deployments/{bad}",
                "environment": "/demo/hello/environments/production",
            }
            program = os.path.join(os.path.abspath(chosen.bin), "screenshots")
            pairs = [f"{name}={path}" for name, path in pictures.items()]
            done = subprocess.run([program, world.url, chosen.into, *pairs],
                                  env=dict(os.environ, PILOTAGE_TOKEN=world.token))
            return done.returncode
        except Fault as fault:
            print(f"✕ {fault}", file=sys.stderr)
            return 1
        finally:
            world.stop()


sys.exit(main())
