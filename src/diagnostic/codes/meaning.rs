//! What rules mean: do they account for everything, both ways, without contradiction?

super::codes! {
    MEANING;

    E1 "no such place in the interface",
    "The schema of this side declares no member of that name there. Unknown members of documents pass untouched \
anyway; a rule that names one is nearly always misspelt.",
    wrong "types:\n  Order: [totl = price]",
    mended "types:\n  Order: [total = price]";

    E2 "two rules own the same place",
    "Rules are unordered, so each must own its places alone. Two rules overlap where they name the same place, or \
where one names a place inside the other's.",
    wrong "- customer = buyer\n- customer.name = buyer.full_name",
    mended "- customer.id = buyer.id\n- customer.name = buyer.full_name";

    E3 "a declared field that no rule mentions",
    "With schemas known, silence is refused: every field is named by a rule, or declared as `added` or `removed`. \
Otherwise a field would vanish or appear without anyone having decided so.",
    wrong "# the old schema also has `fax`\n- id",
    mended "- id\n- {removed: fax, default: null, loss: \"fax retired\"}";

    E4 "the two places hold different values",
    "A plain `=` needs both schemas to accept the same values. Where they differ in type, enumeration or bounds, name \
the codec that converts one to the other.",
    wrong "# integer on the old side, string on the new\n- total = price",
    mended "- total = price: {decimal: 2}";

    E5 "required there, optional here",
    "The target side requires a value that the source may not have. Say what to write then: `default:` on the rule, \
or the codec's own `fill:` or `empty:`.",
    wrong "- {added: channel}",
    mended "- {added: channel, default: web}";

    E6 "a default that its own schema forbids",
    "The value of `default:`, `fill:`, `empty:` or `else:` must be valid where it is written.",
    wrong "# channel is a string\n- {added: channel, default: 1}",
    mended "- {added: channel, default: web}";

    E7 "a value that cannot be translated",
    "A response must never fail because of a value that its schema allows. Give every value of the new side an old \
one, or an `else:` for the rest.",
    wrong "# the new side also has CANCELLED\n- state = status: {enum: {open: OPEN, closed: DONE}}",
    mended "- state = status: {enum: [[open, OPEN], [closed, DONE], [closed, CANCELLED]]}";

    E8 "an old value does not come back",
    "An old value that goes up and comes down again must be the same: this one law makes old callers safe. A rule \
that breaks it needs a codec that keeps the value, or `loss:` with the reason. The map form of `enum` must be \
one-to-one; the list form says which row wins.",
    wrong "- state = status: {enum: {closed: DONE, cancelled: DONE}}",
    mended "- state = status: {enum: [[closed, DONE], [closed, CANCELLED]]}";

    E9 "an old field vanishes",
    "What old callers write to a removed field is lost. That can be right, but someone must have decided it: write the \
reason as `loss:`.",
    wrong "- {removed: fax, default: null}",
    mended "- {removed: fax, default: null, loss: \"fax retired 2024-01\"}";

    E10 "list elements cannot be told apart",
    "On a write onto a live document, elements are matched by `key`, never by position. A list whose elements hold \
anything the old side does not know needs a key that the old elements always have.",
    wrong "- PUT /orders/{id} = PUT /orders/{id}: {write: merge, request: [body.lines = body.items: {each: Line}]}",
    mended "- PUT /orders/{id} = PUT /orders/{id}: {write: merge, request: [body.lines = body.items: {each: Line, key: id}]}";

    E11 "a route that cannot work",
    "Two routes of one side may not match the same request unless one is more specific. Every path parameter of the \
side that is written must come from the other side. A read may not become a write. `write: merge` needs the whole old \
document (`PUT` or `POST`) and the type of the request body, because the live document is read and written with it.",
    wrong "- GET /orders/{id} = GET /orders/{order_id}",
    mended "- GET /orders/{id} = GET /orders/{order_id}: {request: [path.id = path.order_id]}";

    E12 "calls that cannot work",
    "One old call may become up to 16 new ones. A call may use only answers that are there before it is made, so no two \
may wait for each other, and every answer that is named must be some call's. Where more than one of them may change \
something, one can fail when others are done: that can be right, but someone must have decided it, so write the reason \
as `loss:`. A read may not become a write. `each` is the place of a list. The answers need rules that make one of them.",
    wrong "- POST /transfers:\n    calls: {take: POST /withdrawals, give: POST /deposits}\n    200: [body = give.body]",
    mended "- POST /transfers:\n    calls: {take: POST /withdrawals, give: POST /deposits}\n    loss: \"the nightly audit \
finds the others\"\n    200: [body = give.body]";

    E13 "the version line has a gap",
    "Each version must be joined to the next by exactly one rule file, `<old>-<new>.yaml`.",
    wrong "# service.yaml: v1, v2, v3\n# files: v1-v2.yaml",
    mended "# files: v1-v2.yaml, v2-v3.yaml";

    E14 "the evidence is against it",
    "An example does not come out as written, or one of the laws fails for a generated document. The smallest such \
document is shown.",
    wrong "examples:\n  - {type: Order, old: {total: 1999}, new: {price: \"19.90\"}}",
    mended "examples:\n  - {type: Order, old: {total: 1999}, new: {price: \"19.99\"}}";

    E15 "over a limit",
    "Files, nesting, aliases, rules, places and templates have limits, so that loading is quick and bounded whatever \
the files hold. Generated rule sets can be split over types.",
    wrong "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b] # … and so on",
    mended "a: [x, x]";

    E16 "a channel that cannot work",
    "Each address of a channel is one thing of one broker: a queue, an exchange with a routing key, or a subject with \
its stream. Exchanges can only be written. Two flows cannot read one address, since each would get a part of its \
messages. Between any two versions of a channel each rule file must say what its messages are. What is read at an \
address must not come back there, but in a mirror, where messages are marked. A guarantee that is asked for must be one \
that every target can keep. Replies come to a place of the gateway's own, at the broker of those who answer, and have \
rules like other messages.",
    wrong "channels:\n  orders:\n    versions:\n      v1: {egress: {broker: main, queue: orders.v1}}\n      v2: {ingress: {broker: main, exchange: orders}}",
    mended "channels:\n  orders:\n    versions:\n      v1: {egress: {broker: main, queue: orders.v1}}\n      v2: {ingress: {broker: main, queue: orders.v2}}";

    E17 "a call that cannot become a message",
    "An entry of `publish` names a request that changes something and a channel whose newest version has an address that \
can be written. One request has one entry. Where the channel has `replies`, callers must be able to ask for theirs later, so \
the service needs `async`; where it has none, there is nothing to `wait` for.",
    wrong "publish:\n  - GET /v2/orders: orders",
    mended "publish:\n  - POST /v2/orders: orders";
}
