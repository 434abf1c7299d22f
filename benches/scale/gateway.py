"""A gateway under test, and what is known of it."""

import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def binary(given):
    """The program that is measured; without one it is built."""
    if given:
        return pathlib.Path(given).resolve()
    subprocess.run(["cargo", "build", "--release", "--locked", "--bin", "bifocal"], cwd=ROOT, check=True)
    return ROOT / "target" / "release" / "bifocal"


class Gateway:
    """Serves `rules` on free ports until the block ends."""

    def __init__(self, program, rules, settings=None):
        self.folder = tempfile.TemporaryDirectory()
        self.port, self.admin = free_port(), free_port()
        self.settings = {"RELOAD__WATCH": "false"} | (settings or {})
        self.command = [str(program), "serve", "--rules", str(rules), "--listen", f"127.0.0.1:{self.port}"]
        self.command += ["--admin", f"127.0.0.1:{self.admin}", "--state", self.folder.name, "--access-log", "off"]
        self.process = None

    def __enter__(self):
        self.log = open(pathlib.Path(self.folder.name) / "log", "w+")
        environment = os.environ | {f"BIFOCAL_{name}": value for name, value in self.settings.items()}
        begun = time.monotonic()
        self.process = subprocess.Popen(self.command, env=environment, cwd=self.folder.name, stderr=self.log)
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/readyz", timeout=5).read()
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() - begun > 120:
                    self.log.seek(0)
                    sys.exit(f"the gateway did not become ready:\n{self.log.read()}")
                time.sleep(0.005)
        self.ready_after = time.monotonic() - begun
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)
        self.log.close()
        self.folder.cleanup()

    def reload(self):
        """Has the rules read again; answers the seconds that it took and the result."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.admin}/reload", method="POST")
        begun = time.monotonic()
        try:
            answer = urllib.request.urlopen(request, timeout=120).read()
        except urllib.error.HTTPError as error:
            answer = error.read()
        return time.monotonic() - begun, json.loads(answer)["result"]

    def memory(self, name="VmRSS"):
        """MiB that it has now (`VmRSS`), has of its own (`RssAnon`), or had at most (`VmHWM`)."""
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) / 1024
        return 0.0
