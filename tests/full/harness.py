"""What the long tests share: a gateway as a process of its own, a service behind it, and raw callers.

Standard library only. A test ends with 0 (passed), 77 (skipped, and it says why) or anything else (failed).
"""

import contextlib
import http.client
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIFOCAL = os.environ.get("BIFOCAL", str(ROOT / "target/debug/bifocal"))
SHARED = pathlib.Path(os.environ.get("SHARED", str(ROOT.parent / "shared")))

SERVICE = """versions:
  v1: {path: /v1, answered_by: v2}
  v2: {path: /v2, upstream: "http://127.0.0.1:1"}
negotiate: [path, {header: API-Version}]
default: v1
"""

RULES = """types:
  Order: [id, total = price.value: {decimal: 2}]
  Same: [same_id = same_id]
routes:
  - GET /v1/orders/{id} = GET /v2/orders/{id}: {2XX: Order}
  - POST /v1/orders = POST /v2/orders: {request: Order, 2XX: Order}
  - POST /v1/same = POST /v2/same: {request: Same}
  - "* /v1/plain/{rest...} = * /v2/plain/{rest...}"
"""


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            skip(f"{program} is not installed")


def need_root():
    if os.geteuid() != 0:
        skip("only root may do this")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait(condition, seconds=20, what="it"):
    """Asks again and again until there is an answer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.01)
    raise AssertionError(f"{what} never came true")


class Service:
    """Answers every request with 200 and JSON (its own body, where it has one), and keeps what it was asked."""

    def __init__(self, answer=None, host="127.0.0.1", delay=0.0):
        self.answer, self.delay, self.seen, self.lock = answer, delay, [], threading.Lock()
        self.socket = socket.create_server((host, 0), backlog=1024)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            with contextlib.suppress(OSError):
                stream, _ = self.socket.accept()
                threading.Thread(target=self._serve, args=(stream,), daemon=True).start()

    def _serve(self, stream):
        with contextlib.suppress(OSError, ValueError), stream, stream.makefile("rb") as lines:
            while line := lines.readline():
                head, fields = line, {}
                while (field := lines.readline()) not in (b"\r\n", b""):
                    name, _, value = field.partition(b":")
                    fields[name.strip().lower().decode("latin-1")] = value.strip().decode("latin-1")
                body = b""
                if "chunked" in fields.get("transfer-encoding", ""):
                    while size := int(lines.readline().split(b";")[0], 16):
                        body += lines.read(size)
                        lines.readline()
                    while lines.readline() not in (b"\r\n", b""):
                        pass
                else:
                    length = int(fields.get("content-length", 0))
                    body = lines.read(length)
                    if len(body) < length:
                        return
                method, path = head.decode("latin-1").split(" ")[:2]
                with self.lock:
                    self.seen.append(([method, path], fields, body))
                time.sleep(self.delay(path) if callable(self.delay) else self.delay)
                answer = self.answer or body or b'{"id":1,"price":{"value":"1.00"}}'
                stream.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer
                )

    def take(self):
        with self.lock:
            seen, self.seen = self.seen, []
        return seen


class Gateway:
    """The program over a folder of its own. `before` is a command that becomes the program that follows it."""

    def __init__(self, upstream, settings="", before=(), listen="127.0.0.1", state=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="bifocal-full-"))
        rules = self.folder / "rules" / "shop"
        rules.mkdir(parents=True)
        (rules / "service.yaml").write_text(SERVICE)
        (rules / "v1-v2.yaml").write_text(RULES)
        self.host, self.port, self.admin = listen, free_port(), free_port()
        self.log = self.folder / "access.log"
        (self.folder / "bifocal.toml").write_text(
            f'listen = ["{listen}:{self.port}"]\nadmin = "127.0.0.1:{self.admin}"\n'
            f'rules = "{self.folder}/rules"\nstate = "{state or self.folder / "state"}"\n'
            f'[upstreams.shop]\nv2 = "{upstream}"\n' + settings
            + ("" if "[log]" in settings else f'\n[log]\naccess = "{self.log}"\n')
        )
        self.before, self.process = list(before), None

    def start(self):
        self.errors = open(self.folder / "errors.log", "ab")
        self.process = subprocess.Popen(
            [*self.before, BIFOCAL, "serve", "--config", str(self.folder / "bifocal.toml")],
            stdout=subprocess.DEVNULL, stderr=self.errors, cwd=self.folder,
        )
        wait(self.is_ready, what="readiness")
        return self

    def is_ready(self):
        if self.process.poll() is not None:
            raise AssertionError("the gateway ended: " + (self.folder / "errors.log").read_text()[-2000:])
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.ask_admin("/readyz")[0] == 200
        return False

    def ask_admin(self, path, method="GET", timeout=5):
        return ask(("127.0.0.1", self.admin), method, path, timeout=timeout)

    def ask(self, method, path, body=None, headers=(), timeout=30):
        return ask((self.host, self.port), method, path, body, headers, timeout)

    def metric(self, name):
        """A whole number of its metrics."""
        text = self.ask_admin("/metrics")[2].decode()
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(name + " "))

    def proc(self, name):
        """A file of /proc/PID."""
        return pathlib.Path(f"/proc/{self.process.pid}") / name

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            code = self.process.wait(60)
            assert code == 0, f"it ended with {code}"

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def ask(address, method, path, body=None, headers=(), timeout=30):
    """One request on a connection of its own: status, headers, body."""
    connection = http.client.HTTPConnection(*address, timeout=timeout)
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


JSON = {"Content-Type": "application/json"}
