"""Many routes and services: how long checking and loading takes, and reading them again after one file has changed."""

import statistics
import subprocess
import tempfile
import time

import folder
from gateway import Gateway

SHAPES = [(1, 10), (1, 10_000), (1_000, 10)]


def run(program, options):
    print("| services x routes | schemas | check, s | ready, s | reload, ms | RSS, MiB |\n|---|---|---|---|---|---|")
    for schemas in (False, True):
        for services, routes in SHAPES:
            with tempfile.TemporaryDirectory() as root:
                folder.write(root, services, routes, schemas=schemas)
                print(f"| {services:,} x {routes:,} | {'yes' if schemas else 'no'} | {row(program, root, routes, schemas, options)} |")


def row(program, root, routes, schemas, options):
    begun = time.monotonic()
    subprocess.run([program, "check", "--rules", root], stdout=subprocess.DEVNULL, check=True)
    checked = time.monotonic() - begun
    with Gateway(program, root) as gateway:
        times = []
        for number in range(options.pairs):
            folder.write_service(folder.path(root, 0), 0, routes, folder.NOWHERE, schemas, member=f"total{number}")
            took, result = gateway.reload()
            assert result == "applied", result
            times.append(took)
        return f"{checked:.2f} | {gateway.ready_after:.2f} | {statistics.median(times) * 1000:.0f} | {gateway.memory():.0f}"
