"""Mixed traffic for a long time, with many reloads: does the memory of the gateway grow?"""

import asyncio
import collections
import random
import tempfile
import time

import folder
import service
from gateway import Gateway

CALLERS = 12
# Path, version, and how often it is asked: translated, passed, refused, failing, broken off, abandoned, large.
KINDS = [
    ("/s0000/r1/7", "1", 30),
    ("/s0000/r1/7", "2", 30),
    ("/s0003/r2/7", "1", 10),
    ("/s0000/nothing", "1", 4),
    ("/nowhere", "1", 4),
    ("/s0000/r1/7", "9", 4),
    ("/s0000/r1/odd", "1", 4),
    ("/s0000/r1/fails", "1", 4),
    ("/s0000/r1/breaks", "1", 4),
    ("/s0000/r1/breaks", "2", 2),
    ("abandon /s0000/list/2", "1", 2),
    ("/s0000/list/2", "1", 2),
    ("close /s0000/r1/7", "1", 8),
]
LIST = ("  Items:\n    - . = data: {each: Item}\n", "  - GET /s0000/list/{size} = GET /s0000/list/{size}: {200: Items}\n")


def write(root, address, member):
    """The services, the first of them with lists."""
    folder.write_service(folder.path(root, 0), 0, 10, address, False, member=member)
    path = folder.path(root, 0) / "v1-v2.yaml"
    types, route = LIST
    path.write_text(path.read_text().replace("routes:\n", f"{types}routes:\n{route}"))


async def caller(gateway, until, seen):
    weights = [weight for *_, weight in KINDS]
    reader = writer = None
    while time.monotonic() < until:
        kind, version, _ = random.choices(KINDS, weights)[0]
        how, path = kind.split(" ") if " " in kind else ("", kind)
        if writer is None:
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        # Ever new consumers, operations and queries: what is remembered of them must be bounded.
        head = f"GET {path}?n={random.random()} HTTP/1.1\r\nHost: localhost\r\nAPI-Version: {version}\r\n"
        writer.write((head + f"X-Api-Key: {random.randrange(10**9)}\r\n\r\n").encode())
        try:
            status, closes = await read(reader, how)
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            status, closes = "broken", True
        seen[status] += 1
        if closes or how:
            writer.close()
            writer = None


async def read(reader, how):
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if how == "abandon":
        return "abandoned", True
    if b"transfer-encoding: chunked" in head:
        while size := int(await reader.readuntil(b"\r\n"), 16):
            await reader.readexactly(size + 2)
        await reader.readexactly(2)
    else:
        length = head.partition(b"content-length:")[2].split(b"\r\n")[0]
        await reader.readexactly(int(length))
    return head[9:12].decode(), b"connection: close" in head


async def work(gateway, root, address, options):
    begun, until = time.monotonic(), time.monotonic() + options.minutes * 60
    seen, samples = collections.Counter(), []

    async def reload():
        for number in range(options.reloads):
            await asyncio.sleep(max(0, begun + (until - begun) * number / options.reloads - time.monotonic()))
            write(root, address, ("total", "sum")[number % 2])
            _, result = await asyncio.to_thread(gateway.reload)
            seen[f"reload {result}"] += 1

    async def sample():
        while time.monotonic() < until:
            samples.append((time.monotonic() - begun, gateway.memory("RssAnon")))
            await asyncio.sleep(1)

    await asyncio.gather(reload(), sample(), *(caller(gateway, until, seen) for _ in range(CALLERS)))
    return seen, samples


def slope(samples):
    """MiB a minute, by least squares."""
    mean = lambda values: sum(values) / len(values)
    at, size = mean([x for x, _ in samples]), mean([y for _, y in samples])
    return 60 * sum((x - at) * (y - size) for x, y in samples) / sum((x - at) ** 2 for x, _ in samples)


def run(program, options):
    with tempfile.TemporaryDirectory() as root, service.Service() as upstream:
        folder.write(root, 20, 10, upstream.address)
        write(root, upstream.address, "total")
        with Gateway(program, root) as gateway:
            seen, samples = asyncio.run(work(gateway, root, upstream.address, options))
            for name, count in sorted(seen.items()):
                print(f"{name:>20} {count:,}")
            steps = samples[:: max(1, len(samples) // 12)]
            print("memory, MiB:", ", ".join(f"{at:.0f} s {size:.1f}" for at, size in steps))
            half = samples[len(samples) // 2 :]
            print(f"slope of the second half: {slope(half):+.2f} MiB a minute; at most {gateway.memory('VmHWM'):.1f} MiB")
