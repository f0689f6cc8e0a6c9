"""A small program: it greets whoever asks. Python's standard library only.

PORT and PILOTAGE_REVISION come from whoever starts it. It stops gracefully: on SIGTERM it takes no new
connections, finishes what it has begun, and ends.
"""

import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

REVISION = os.environ.get("PILOTAGE_REVISION", "local")
# How long the neighbour takes that keeps the greetings.
NEIGHBOUR_SECONDS = 0.02

GREETINGS = ["Hello", "Good day", "Welcome", "Hi", "Greetings"]


def greet(name, number):
    """The greeting for the number-th visitor."""
    return f"{GREETINGS[number % len(GREETINGS)]}, {name}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    visitors = 0
    busy = 0
    lock = threading.Lock()

    def do_GET(self):
        url = urlsplit(self.path)
        if url.path == "/health":
            return self.answer(200, {"status": "ok"})
        if url.path == "/version":
            return self.answer(200, {"revision": REVISION})
        if url.path != "/":
            return self.answer(404, {"error": "there is no such page"})
        with Handler.lock:
            Handler.visitors += 1
            number = Handler.visitors
        try:
            time.sleep(NEIGHBOUR_SECONDS)
            name = parse_qs(url.query).get("name", ["you"])[0]
            self.answer(200, {"greeting": greet(name, number), "revision": REVISION})
        except LookupError as error:
            self.answer(500, {"error": str(error), "revision": REVISION})

    def do_POST(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        self.answer(201, {"bytes": len(body), "revision": REVISION})

    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Revision", REVISION)
        self.end_headers()
        self.wfile.write(body)

    def handle_one_request(self):
        # Between two requests of a connection there is nothing to finish.
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline:
            self.close_connection = True
            return
        with Handler.lock:
            Handler.busy += 1
        try:
            if self.parse_request():
                getattr(self, "do_" + self.command, self.unknown)()
                self.wfile.flush()
        finally:
            with Handler.lock:
                Handler.busy -= 1

    def unknown(self):
        self.answer(405, {"error": "not here"})

    def log_message(self, format, *args):
        visitor = self.headers.get("X-Request-Id", "-") if hasattr(self, "headers") else "-"
        print(f"{visitor} {self.command} {self.path} {args[1]}", flush=True)


def main():
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8000"))), Handler)
    server.daemon_threads = True

    def stop(_signal, _frame):
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    print(f"{REVISION} listens on {server.server_address[1]}", flush=True)
    server.serve_forever(poll_interval=0.05)
    while Handler.busy:
        time.sleep(0.01)
    sys.exit(0)


if __name__ == "__main__":
    ThreadingHTTPServer.request_queue_size = 256
    main()
