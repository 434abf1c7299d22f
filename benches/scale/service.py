"""A service for the gateway to call, in a process of its own: small answers, large ones, errors, and ones that break off."""

import asyncio
import multiprocessing

ITEM = b'{"id":"a1","total":"12.50","title":"one of them","more":{"kept":[1,2,3]}}'


def listed(size):
    """A list as the new version writes it, in pieces of about 64 KiB, of about `size` bytes."""
    note = b"x" * 900
    piece, sent, number = bytearray(b'{"data":['), 0, 0
    while sent + len(piece) < size:
        piece += b"," if number else b""
        piece += b'{"id":"%d","total":"19.99","title":"%s"}' % (number, note)
        number += 1
        if len(piece) > 65536:
            yield bytes(piece)
            sent += len(piece)
            piece.clear()
    yield bytes(piece) + b"]}"


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


async def chunks(reader, head):
    body = b""
    while b"chunked" in head.lower():
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        body += (await reader.readexactly(size + 2))[:-2]
        if not size:
            break
    return body


async def answer(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            body = await reader.readexactly(int(length[0].split(b":")[1])) if length else await chunks(reader, head)
            path = head.split(b" ", 2)[1].decode().partition("?")[0]
            await respond(writer, path, body or ITEM)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def respond(writer, path, body):
    kind = b"Content-Type: application/json\r\n"
    if "list" in path:
        writer.write(b"HTTP/1.1 200 OK\r\n" + kind + b"Transfer-Encoding: chunked\r\n\r\n")
        for piece in listed(int(path.rsplit("/", 1)[1]) << 20):
            writer.write(chunk(piece))
            await writer.drain()
        return writer.write(b"0\r\n\r\n")
    if path.endswith("/fails"):
        return writer.write(b"HTTP/1.1 500 Oops\r\n" + kind + b"Content-Length: 2\r\n\r\n{}")
    if path.endswith("/odd"):
        body = b'{"id":"a1","total":"twelve","title":1}'
    if path.endswith("/breaks"):
        writer.write(b"HTTP/1.1 200 OK\r\n" + kind + b"Content-Length: 5000\r\n\r\n{")
        await writer.drain()
        raise ConnectionResetError
    writer.write(b"HTTP/1.1 200 OK\r\n" + kind + b"Content-Length: %d\r\n\r\n" % len(body) + body)


def serve(told):
    async def main():
        server = await asyncio.start_server(answer, "127.0.0.1", 0, limit=1 << 20, backlog=4096)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


class Service:
    def __enter__(self):
        here, there = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=serve, args=(there,), daemon=True)
        self.process.start()
        self.address = f"http://127.0.0.1:{here.recv()}"
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.join()
