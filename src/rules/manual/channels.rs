//! How messages of queues and topics are described.

use super::{Kind, Page};

const fn page(name: &'static str, line: &'static str, manual: &'static str) -> Page {
    Page { name, kind: Kind::Channel, options: &[], line, manual }
}

pub(super) const PAGES: &[Page] = &[
    page(
        "channels",
        "queues and topics of a service",
        "\
A channel is a queue or topic as people speak of it, with an address for each version: `ingress` is where clients of that
version write, `egress` where they read. It stands in service.yaml.

```yaml
versions: {v1: , v2: }
channels:
  orders:
    versions:
      v1: {egress: {broker: main, queue: orders.v1}}
      v2: {ingress: {broker: main, queue: orders}, egress: {broker: main, queue: orders.v2}}
```

What its messages are, each rule file between two of its versions says under the same name, with a type of the body, with
rules of the whole message (`header` and `body`), or with `same` where nothing has changed:

```yaml
types:
  Order: [total = price]
messages:
  orders: Order
```

* `topology: views` (the default): everything goes to one version, the newest or that of `canonical`, and those who read
  other versions read views of it. `mirror`: each version is written and read natively, and what is written to one appears
  at all others, once.
* Where one version is written, every other one that is read there gets each message in its own terms: that is a flow.
* The service needs no `upstream` where it has channels alone.
",
    ),
    page(
        "address",
        "one place of a broker",
        "\
A queue, or an exchange and perhaps a routing key (AMQP), or a subject and its stream (NATS JetStream). `broker` is a name of
the settings: `[brokers.main]`.

```yaml
versions: {v1: , v2: }
channels:
  orders:
    dead_letter: {broker: main, queue: orders.dead}
    versions:
      v1: {egress: {broker: main, exchange: old-orders, routing_key: all}}
      v2: {ingress: {broker: bus, stream: ORDERS, subject: orders.created}}
```

* An exchange can only be written. A subject that is read needs its `stream`; `*` and `>` stand only in such subjects.
* Two flows never read one address, since each would get a part of its messages.
* `dead_letter` is where what cannot be translated goes; a place of the source's broker that is named after the flow if it is
  left out, which the gateway makes.
",
    ),
    page(
        "version_by",
        "how a message's version, id and key are found",
        "\
Lists of what a message says of itself; the first that says anything decides.

```yaml
versions: {v1: , v2: }
channels:
  orders:
    version_by: [{header: X-Version}, type, {content_type: version}, {query: $.body.version}]
    id_by: [{header: X-Event}, cloud_event, message_id, content_hash]
    key_by: [{query: $.body.customer}]
    versions:
      v1: {type: order.v1, egress: {broker: main, queue: orders.v1}}
      v2: {type: order.v2, ingress: {broker: main, queue: orders}}
```

* `version_by`: a header, the `type` of the event (the versions of the channel say theirs), a parameter of the content type, or
  what a query finds in `{header, body}`. A message that says nothing is in the version of its address; one that names a
  version that there is not goes to the dead letters.
* `id_by`: by what a message is known again. After these a CloudEvent's `source` and `id`, then the broker's message id, then its
  place. `content_hash`: two messages with one body are one. The id is never changed.
* `key_by`: messages of one key stay in their order. After these a CloudEvent's `partitionkey`, then the header `bifocal-key`.
  Messages without a key are all in one order.
",
    ),
    page(
        "guarantee",
        "what a flow must promise, and what becomes of what it cannot carry",
        "\
A flow promises `at_least_once`, or `effectively_once` where every target takes an id once: a JetStream subject does, within its
window, a queue does not. `guarantee` makes a weaker promise an error when the rules are read.

```yaml
versions: {v1: , v2: }
channels:
  orders:
    guarantee: effectively_once
    order: key
    on_poison: park_key
    dedup: {window: 1h, entries: 100000}
    attempts: 20
    versions:
      v1: {egress: {broker: bus, subject: orders.v1}}
      v2: {ingress: {broker: main, queue: orders}}
```

* `order: none` gives up the order within keys for speed.
* `on_poison`, what becomes of what is behind a message that cannot be translated: `dead_letter` (it goes on), `park_key` (those of
  its key follow it to the dead letters), `halt` (the flow stops there until the rules change).
* `dedup`: how long, and how many ids are remembered, so that what comes twice goes once; 24h and a million if it is left out, and
  `off` for not at all. The same id with another body goes to the dead letters.
* `attempts`: how often a message is published that its target does not take; for ever if it is left out.
",
    ),
    page(
        "replies",
        "requests by message, and their replies",
        "\
Services are told to reply to an address of the gateway's own; the reply is translated to the version of who asked, and goes
where they wanted it.

```yaml
versions: {v1: , v2: }
channels:
  orders:
    replies: {channel: answers, address: {broker: main, queue: orders.replies}, timeout: 10s}
    versions:
      v1: {ingress: {broker: main, queue: ask.v1}}
      v2: {egress: {broker: main, queue: ask.v2}}
  answers:
    versions: {v1: , v2: }
```

* `channel`: the channel whose rules replies have; its own if it is left out. One that has replies alone needs no addresses.
* `address`: at the broker of those who answer, and read by nobody else; the gateway makes it.
* `timeout`: how long a reply may take; 30s if it is left out.
",
    ),
    page(
        "publish",
        "calls that become messages",
        "\
A request, in the newest version's terms, whose body becomes a message of a channel. It is written in the channel's newest version
that has an address: where that is written (`ingress`), or where it is read. Its caller gets 202 once the broker has confirmed it.

```yaml
versions: {v1: {path: /v1}, v2: {path: /v2}}
async: {path: /operations}
channels:
  orders:
    versions:
      v1: {egress: {broker: main, queue: orders.v1}}
      v2: {ingress: {broker: main, queue: orders}}
  quotes:
    replies: {address: {broker: main, queue: shop.quotes}}
    versions:
      v1: {ingress: {broker: main, queue: quotes.v1}}
      v2: {egress: {broker: main, queue: quotes}}
publish: [{POST /v2/orders: orders}, {POST /v2/quotes: {channel: quotes, wait: 5s, headers: [X-Shop]}}]
```

* Where the channel has `replies`, the 202 says where to ask for the reply, which is the response of the call. That needs `async`.
* `wait`: how long a caller waits for the reply itself where it has no `Prefer: wait=N`; not at all if it is left out.
* `headers`: what of the request's headers the message has, too.
",
    ),
];
