"""A new producer, an old consumer, two brokers, and a gateway that is killed in between: see `run`."""

import asyncio
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import nats
import pika

COUNT = int(os.environ.get("MESSAGES", "2000"))
HERE = pathlib.Path(__file__).parent
# Messages that the gateway may have under way: so many may come twice out of RabbitMQ after a kill, which cannot know them.
IN_FLIGHT = 64
# Longer than a server of NATS waits before it gives out anew what a gateway that was killed had.
PATIENCE = 40


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def until(what, ask, patience=90):
    end = time.monotonic() + patience
    while not ask():
        if time.monotonic() > end:
            raise SystemExit(f"{what} does not answer")
        time.sleep(0.05)


def answers(port, hello=b""):
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as one:
            one.settimeout(2)
            one.sendall(hello)
            return len(one.recv(4)) > 0
    except OSError:
        return False


def start_rabbit(folder):
    port, distribution, names = free_port(), free_port(), free_port()
    for part in ("mnesia", "log", "home"):
        (folder / part).mkdir(parents=True)
    (folder / "rabbitmq.conf").write_text(
        f"listeners.tcp.1 = 127.0.0.1:{port}\ndistribution.listener.interface = 127.0.0.1\n"
        "vm_memory_high_watermark.absolute = 1GB\ndisk_free_limit.absolute = 50MB\nlog.console = false\n"
    )
    (folder / "enabled_plugins").write_text("[].")
    environment = os.environ | {
        "HOME": str(folder / "home"),
        "RABBITMQ_NODENAME": f"example{port}@localhost",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "ERL_EPMD_PORT": str(names),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }
    [program] = list(pathlib.Path("/usr/lib/rabbitmq/lib").glob("*/sbin/rabbitmq-server"))[:1]
    process = start([str(program)], folder, env=environment)
    until("RabbitMQ", lambda: answers(port, b"AMQP\x00\x00\x09\x01"))
    return process, port, names


def start_nats(folder):
    port = free_port()
    folder.mkdir()
    process = start(["nats-server", "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder)], folder)
    until("NATS", lambda: answers(port))
    return process, port


def start(command, folder, **more):
    log = open(folder / "output", "ab")
    # A group of its own, so that what it starts ends with it.
    return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, **more)


def kill(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def gateway(program, folder):
    admin = free_port()
    command = [program, "serve", "--listen", "127.0.0.1:0", "--admin", f"127.0.0.1:{admin}"]
    return start(command, folder, cwd=folder), admin


def new_order(at):
    name = {"first_name": "Ada", "last_name": f"King-{at}"}
    return {"id": at, "customer": name, "price": {"value": f"{at // 100}.{at % 100:02}"}, "status": "OPEN"}


def old_order(at):
    return {"id": at, "customer_name": f"Ada King-{at}", "total": at, "state": "open"}


class Consumer:
    """An old consumer: it knows nothing of v2."""

    def __init__(self):
        self.ids, self.wrong, self.first = [], 0, None

    def take(self, body):
        order = json.loads(body)
        self.first = self.first or body.decode()
        self.wrong += order != old_order(order["id"])
        self.ids.append(order["id"])

    def is_complete(self):
        return len(set(self.ids)) >= COUNT

    def verdict(self):
        seen, firsts = set(), []
        for one in self.ids:
            if one not in seen:
                seen.add(one)
                firsts.append(one)
        return {
            "lost": COUNT - len(seen),
            "duplicates": len(self.ids) - len(seen),
            "reordered": sum(one > after for one, after in zip(firsts, firsts[1:])),
            "wrong": self.wrong,
        }


def connect(port):
    return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port))


def make_queues(port):
    channel = connect(port).channel()
    for queue in ("orders.v1", "orders.v2"):
        channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})


def produce_rabbit(port):
    channel = connect(port).channel()
    channel.confirm_delivery()
    for at in range(COUNT):
        properties = pika.BasicProperties(message_id=f"o-{at}", content_type="application/json", delivery_mode=2)
        channel.basic_publish("", "orders.v2", json.dumps(new_order(at)).encode(), properties, mandatory=True)


def consume_rabbit(port, consumer):
    channel = connect(port).channel()
    for method, _, body in channel.consume("orders.v1", inactivity_timeout=PATIENCE):
        if method is None:
            return
        consumer.take(body)
        channel.basic_ack(method.delivery_tag)
        if consumer.is_complete():
            break
    # What comes twice may come late.
    channel.cancel()
    for method, _, body in channel.consume("orders.v1", inactivity_timeout=3):
        if method is None:
            return
        consumer.take(body)
        channel.basic_ack(method.delivery_tag)


async def make_streams(port):
    client = await nats.connect(f"nats://127.0.0.1:{port}")
    for stream, subject in (("BOOKINGS", "bookings.v2"), ("BOOKINGS_V1", "bookings.v1")):
        await client.jetstream().add_stream(name=stream, subjects=[subject])
    await client.close()


async def produce_nats(port):
    client = await nats.connect(f"nats://127.0.0.1:{port}")
    for at in range(COUNT):
        headers = {"Nats-Msg-Id": f"b-{at}", "Content-Type": "application/json"}
        await client.jetstream().publish("bookings.v2", json.dumps(new_order(at)).encode(), headers=headers)
    await client.close()


async def consume_nats(port, consumer):
    client = await nats.connect(f"nats://127.0.0.1:{port}")
    reader = await client.jetstream().pull_subscribe("bookings.v1", "old", stream="BOOKINGS_V1")
    while True:
        try:
            messages = await reader.fetch(100, timeout=3 if consumer.is_complete() else PATIENCE)
        except nats.errors.TimeoutError:
            break
        for message in messages:
            consumer.take(message.data)
            await message.ack()
    await client.close()


def flows(program, admin):
    return subprocess.run([program, "flows", "--admin", f"127.0.0.1:{admin}"], capture_output=True, text=True).stdout


def demonstrate(program, folder, processes):
    rabbit, rabbit_port, names = start_rabbit(folder / "rabbit")
    processes.append(rabbit)
    # The daemon of names that RabbitMQ leaves behind.
    processes.append(lambda: subprocess.run(["epmd", "-port", str(names), "-kill"], capture_output=True))
    server, nats_port = start_nats(folder / "nats")
    processes.append(server)
    make_queues(rabbit_port)
    asyncio.run(make_streams(nats_port))
    (folder / "bifocal.toml").write_text(
        f"rules = {json.dumps(str(HERE / 'rules'))}\n[brokers.rabbit]\nurl = \"amqp://127.0.0.1:{rabbit_port}\"\n"
        f"[brokers.nats]\nurl = \"nats://127.0.0.1:{nats_port}\"\n[messages]\nin_flight = {IN_FLIGHT}\n"
    )
    print(subprocess.run([program, "check", "--rules", str(HERE / "rules")], capture_output=True, text=True).stdout)
    first, _ = gateway(program, folder)
    processes.append(first)
    orders, bookings = Consumer(), Consumer()
    work = [
        lambda: produce_rabbit(rabbit_port),
        lambda: asyncio.run(produce_nats(nats_port)),
        lambda: consume_rabbit(rabbit_port, orders),
        lambda: asyncio.run(consume_nats(nats_port, bookings)),
    ]
    threads = [threading.Thread(target=one, daemon=True) for one in work]
    for one in threads:
        one.start()
    until("the gateway", lambda: min(len(orders.ids), len(bookings.ids)) > COUNT // 3)
    kill(first)
    print(f"kill -9 of the gateway, with {len(orders.ids)} and {len(bookings.ids)} of {COUNT} messages read\n")
    second, admin = gateway(program, folder)
    processes.append(second)
    for one in threads:
        one.join()
    print("the new producer:", json.dumps(new_order(0)))
    print("the old consumer:", orders.first, "\n")
    print(flows(program, admin))
    second.send_signal(signal.SIGTERM)
    second.wait(60)
    print(f"{'':<10}{'messages':>10}{'lost':>8}{'duplicates':>12}{'reordered':>11}{'wrong':>8}")
    sound = True
    for name, consumer, most in (("RabbitMQ", orders, IN_FLIGHT), ("NATS", bookings, 0)):
        one = consumer.verdict()
        print(f"{name:<10}{COUNT:>10}{one['lost']:>8}{one['duplicates']:>12}{one['reordered']:>11}{one['wrong']:>8}")
        sound &= one["lost"] == one["reordered"] == one["wrong"] == 0 and one["duplicates"] <= most
    print("\nA queue of RabbitMQ cannot know a message again: what was under way at the kill may come twice.")
    return sound


def main():
    processes = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        try:
            sound = demonstrate(os.path.abspath(sys.argv[1]), pathlib.Path(folder), processes)
        finally:
            for one in processes:
                if callable(one):
                    one()
                elif one.poll() is None:
                    kill(one)
    sys.exit(0 if sound else 1)


main()
