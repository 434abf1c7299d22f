"""Connections that have asked once and then keep quiet: what they cost the gateway."""

import asyncio
import resource
import tempfile

import folder
import service
from gateway import Gateway

# Preface, empty SETTINGS, and a request: GET (2), http (6), then path and authority as literals (RFC 7541, 6.2.2).
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


def h2_request(path):
    literal = lambda index, text: bytes([index, len(text)]) + text.encode()
    block = bytes([0x82, 0x86]) + literal(0x04, path) + literal(0x01, "localhost")
    return bytes([0, 0, len(block), 1, 5, 0, 0, 0, 1]) + block


async def ask_h1(reader, writer, path):
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    await reader.readexactly(int(length[0].split(b":")[1]))


async def ask_h2(reader, writer, path):
    writer.write(PREFACE + h2_request(path))
    while True:
        head = await reader.readexactly(9)
        await reader.readexactly(int.from_bytes(head[:3]))
        kind, flags = head[3], head[4]
        if kind == 4 and not flags & 1:
            writer.write(bytes([0, 0, 0, 4, 1, 0, 0, 0, 0]))
        # HEADERS or DATA that end the stream.
        if kind in (0, 1) and flags & 1:
            return


async def hold(gateway, count, ask):
    before, held = gateway.memory(), []
    for first in range(0, count, 200):
        async def one():
            # Small buffers here, so that only the gateway's count.
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=2048)
            held.append(writer)
            await ask(reader, writer, "/s0000/r0/1")
        await asyncio.gather(*(one() for _ in range(min(200, count - first))))
    await asyncio.sleep(2)
    after = gateway.memory()
    for writer in held:
        writer.close()
    return before, after


def run(program, options):
    count = options.connections
    wanted = count * 2 + 500
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count + 500:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    print(f"| {count:,} idle connections | RSS before, MiB | RSS, MiB | a connection, KiB |\n|---|---|---|---|")
    for name, ask in [("HTTP/1.1", ask_h1), ("HTTP/2", ask_h2)]:
        with tempfile.TemporaryDirectory() as root, service.Service() as upstream:
            folder.write(root, 1, 10, upstream.address)
            # All of them come from one address.
            settings = {"LIMITS__CONNECTIONS": str(count + 10), "LIMITS__SHARE": "0", "TIMEOUTS__IDLE": "10m"}
            with Gateway(program, root, settings) as gateway:
                before, after = asyncio.run(hold(gateway, count, ask))
        print(f"| {name} | {before:.0f} | {after:.0f} | {(after - before) * 1024 / count:.1f} |")
