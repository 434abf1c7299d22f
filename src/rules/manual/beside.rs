//! What an entry may say beside its conversion.

use super::{Kind, Page};

const fn page(name: &'static str, line: &'static str, manual: &'static str) -> Page {
    Page { name, kind: Kind::Beside, options: &[], line, manual }
}

pub(super) const PAGES: &[Page] = &[
    page("default", "the new side's value where the old has none", "\
`default: V` beside a conversion is what the new side gets where the old document has no value.

```yaml
- qty = quantity: {default: 1}
```

```pairs
{} -> {\"quantity\":1}
{\"qty\":1} <- {\"quantity\":1}
{\"qty\":2} <-> {\"quantity\":2}
{\"qty\":null} <-> {\"quantity\":null}
```

A part of a document (PATCH) gets no defaults.
"),
    page("loss", "why it is right that something is lost", "\
`loss: \"why\"` accepts what the check would refuse: a codec that does not come back, a removed field, values that are
dropped. It is a text for the next author, and without it the rules are refused (E8, E9).

```yaml
- when = at: {date: [rfc3339, unix], loss: \"old clients never used fractions\"}
```
"),
    page("when", "a condition on the document", "\
`when: QUERY` applies a rule only to documents of which the query is true, each direction asking its own source.
`when: {old: QUERY, new: QUERY}` asks each side its own question.

```yaml
- name = title: {when: \"$.kind == 'book'\"}
- fee = price: {decimal: 2, when: {old: \"$.currency\", new: \"$.currency\"}}
```

```pairs
{\"kind\":\"book\",\"name\":\"x\"} <-> {\"kind\":\"book\",\"title\":\"x\"}
{\"kind\":\"pen\",\"name\":\"x\"} <-> {\"kind\":\"pen\",\"name\":\"x\"}
{\"fee\":5,\"currency\":\"EUR\"} <-> {\"price\":\"0.05\",\"currency\":\"EUR\"}
```

A query is what RFC 9535 allows inside `[?…]`; `$` and `@` are the document. `$.x` alone asks whether there is one,
`!$.x` whether there is none.; `&&`, `||`, `match($.t, 'a.*')`, `length()` and comparisons are there. In a route the
document is the whole message, and a response has its request: `$.request.query.page`. Two rules may not own one place,
whatever their conditions: that is what `cases` is for.
"),
    page("unfit", "what becomes of a value that does not convert", "\
`unfit:` says what becomes of a value that its conversion refuses; without it the document is refused. It needs `loss:`.

```yaml
- a = x: {decimal: 2, unfit: drop, loss: \"broken amounts\"}
- b = y: {decimal: 2, unfit: pass, loss: \"broken amounts\"}
- c = z: {enum: {on: ON}, unfit: {else: [unknown, OTHER]}, loss: \"new states\"}
```

```pairs
{\"a\":\"?\",\"b\":\"?\"} -> {\"y\":\"?\"}
{\"c\":\"?\"} -> {\"z\":\"OTHER\"}
{\"c\":\"unknown\"} <- {\"z\":\"BROKEN\"}
```

* `drop` leaves the value out, `pass` lets it through as it is.
* `{else: old}` is the old side's value, `{else: [old, new]}` one for each side; a side without one refuses.
"),
    page("keys", "how the variable part of names changes", "\
`keys: CONVERSION` beside a rule over names with a variable part converts that part.

```yaml
- x-{name} = extensions.{name}: {keys: {case: [kebab, snake]}}
```

```pairs
{\"x-rate-limit\":1} <-> {\"extensions\":{\"rate_limit\":1}}
```
"),
    page("only", "the kind of values that a pattern takes", "\
`only: KIND` restricts a rule over names with a variable part to values of a kind; the others are none of its business.
Kinds are those of `is`.

```yaml
- $['{name}'] = lists.{name}: {only: array}
```

```pairs
{\"a\":[1],\"b\":2} -> {\"lists\":{\"a\":[1]},\"b\":2}
```
"),
    page("from", "what a derived value is made from", "\
`from: SOURCE` beside `added` or `removed` makes the value from the document of the other side.

```yaml
- {added: id, from: meta.id}
- {added: url, from: \"https://x/{meta.id}\"}
- {added: ref, from: {type: host, id: $meta.id}}
```

```pairs
{\"meta\":{\"id\":7}} -> {\"meta\":{\"id\":7},\"id\":7,\"url\":\"https://x/7\",\"ref\":{\"type\":\"host\",\"id\":7}}
{\"meta\":{\"id\":7}} <- {\"meta\":{\"id\":7},\"id\":7,\"url\":\"https://x/7\",\"ref\":{\"type\":\"host\",\"id\":7}}
```

* a place; a text with `{place}` in it; a structure with `$place` in it; or a query with `reduce:`.
* `$request.path.id` is a value of the request, in responses (`bifocal explain request`).
* The value is ignored on the way back.
"),
    page("reduce", "several values become one", "\
`from: QUERY` with `reduce:` makes one value of all that an RFC 9535 query selects.

```yaml
- {added: sum, from: \"$.taxes[*].amount\", reduce: sum}
- {added: names, from: \"$.taxes[*].name\", reduce: join, separator: \", \"}
- {added: taxed, from: \"$.taxes[*]\", reduce: any}
```

```pairs
{\"taxes\":[{\"name\":\"a\",\"amount\":1.10},{\"name\":\"b\",\"amount\":2.20}]} -> {\"taxes\":[{\"name\":\"a\",\"amount\":1.10},{\"name\":\"b\",\"amount\":2.20}],\"taxed\":true,\"names\":\"a, b\",\"sum\":3.3}
```

`sum` (exact), `count`, `first`, `last`, `min`, `max`, `join` (texts, with `separator:`; of nothing it is absent),
`list`, `any`.
"),
];
