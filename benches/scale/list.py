"""A large list that is translated as it comes: what the gateway needs for it, and that it refuses what it cannot stream."""

import socket
import tempfile
import time

import folder
import service
from gateway import Gateway

TYPES = """  Items:
    - . = data: {each: Item}
routes:
  - GET /s0000/list/{size} = GET /s0000/list/{size}: {200: Items}
  - GET /s0000/counted-list/{size} = GET /s0000/counted-list/{size}:
      200:
        - body = body.data: {each: Item}
        - header.X-Total = body.meta.total: {type: [string, integer]}
"""


def run(program, options):
    with tempfile.TemporaryDirectory() as root, service.Service() as upstream:
        folder.write(root, 1, 1, upstream.address)
        path = folder.path(root, 0) / "v1-v2.yaml"
        path.write_text(path.read_text().replace("routes:\n", TYPES))
        with Gateway(program, root) as gateway:
            print("| body | status | bytes that came | seconds | peak of its own before, MiB | and after, MiB |\n|---|---|---|---|---|---|")
            for name in ("list", "counted-list"):
                before = peak(gateway)
                begun = time.monotonic()
                status, size = get(gateway, f"/s0000/{name}/{options.megabytes}")
                took = time.monotonic() - begun
                print(f"| {name} | {status} | {size:,} | {took:.1f} | {before:.1f} | {peak(gateway):.1f} |")


def peak(gateway):
    """Without the pages of the program itself."""
    return gateway.memory("VmHWM") - gateway.memory("RssFile")


def get(gateway, path):
    with socket.create_connection(("127.0.0.1", gateway.port)) as one:
        one.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAPI-Version: 1\r\nConnection: close\r\n\r\n".encode())
        text, size = one.recv(1 << 16), 0
        status = text[9:12].decode()
        print(text.partition(b"\r\n\r\n")[2].decode()) if status != "200" else None
        while text:
            size += len(text)
            text = one.recv(1 << 16)
        return status, size
