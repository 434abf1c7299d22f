"""Ten reloads a second while requests run: what callers notice. wrk asks 32 connections' worth of paced requests, half of
the time with reloads and half without; nginx is the service."""

import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import folder
from gateway import Gateway, free_port

SERVICES, ROUTES = 100, 10
# Each connection waits between its requests: callers that do not take all of the machine leave room for what is measured.
PACE = 'function delay() return 5 end\nwrk.headers["API-Version"] = "1"\n'
NGINX = """
pid {root}/pid; error_log {root}/errors; worker_processes 1; daemon off; events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 100000000; server {{ listen 127.0.0.1:{port}; default_type application/json;
  location / {{ return 200 '{{"id":"a1","total":"12.50","title":"one of them"}}'; }} }} }}
"""


def run(program, options):
    for name in ("wrk", "nginx"):
        if not shutil.which(name):
            sys.exit(f"`storm` needs {name}")
    with tempfile.TemporaryDirectory() as root:
        port, root = free_port(), pathlib.Path(root)
        (root / "nginx.conf").write_text(NGINX.format(root=root, port=port))
        (root / "pace.lua").write_text(PACE)
        folder.write(root / "rules", SERVICES, ROUTES, f"http://127.0.0.1:{port}")
        nginx = subprocess.Popen(["nginx", "-p", root, "-c", root / "nginx.conf"], stderr=subprocess.DEVNULL)
        try:
            with Gateway(program, root / "rules") as gateway:
                measure(gateway, root, port, options)
        finally:
            nginx.terminate()
            nginx.wait()


def measure(gateway, root, port, options):
    ask(gateway, root, 1)
    ratios, failures, reloads = [], 0, 0
    print("| pair | p99 quiet, ms | p99 with reloads, ms | ratio | requests | failed | reloads |\n|---|---|---|---|---|---|---|")
    for pair in range(options.pairs):
        quiet, _, failed = ask(gateway, root, options.seconds)
        with Reloading(gateway, root, port) as reloading:
            storm, count, failed_too = ask(gateway, root, options.seconds)
        failures += failed + failed_too
        reloads += reloading.count
        ratios.append(storm / quiet)
        print(f"| {pair + 1} | {quiet:.2f} | {storm:.2f} | {storm / quiet:.2f} | {count:,} | {failed_too} | {reloading.count} |")
    low, high = min(ratios), max(ratios)
    print(f"\np99 ratio {statistics.median(ratios):.2f} ({low:.2f} to {high:.2f}); {failures} failed requests, {reloads} reloads")


class Reloading:
    """Changes a service and has the rules read, ten times a second, until the block ends."""

    def __init__(self, gateway, root, port):
        self.gateway, self.root, self.port = gateway, root, port
        self.ended, self.count = threading.Event(), 0
        self.thread = threading.Thread(target=self.work)

    def work(self):
        next_at, number = time.monotonic(), 0
        while not self.ended.wait(max(0, next_at - time.monotonic())):
            next_at += 0.1
            # The service that is asked is the one that changes.
            target = f"http://127.0.0.1:{self.port}"
            number += 1
            member = ("total", "sum")[number % 2]
            folder.write_service(folder.path(self.root / "rules", 0), 0, ROUTES, target, False, member=member)
            self.count += self.gateway.reload()[1] == "applied"

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def ask(gateway, root, seconds):
    """p99 in ms, requests, and how many failed."""
    url = f"http://127.0.0.1:{gateway.port}/s0000/r3/7"
    command = ["wrk", "-t1", "-c32", f"-d{max(1, round(seconds))}s", "--latency", "-s", root / "pace.lua", url]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", text).groups()
    failed = sum(int(number) for number in re.findall(r"Non-2xx or 3xx responses: (\d+)", text))
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    failed += sum(map(int, errors.groups())) if errors else 0
    count = int(re.search(r"(\d+) requests in", text).group(1))
    return float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit], count, failed
