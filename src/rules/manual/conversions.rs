//! Conversions that need more than the value itself.

use super::{Kind, Page};

const fn page(name: &'static str, options: &'static [&'static str], line: &'static str, manual: &'static str) -> Page {
    Page { name, kind: Kind::Conversion, options, line, manual }
}

pub(super) const PAGES: &[Page] = &[
    page("as", &[], "the value is a document of a type", "\
`as: Type` or just `Type`: the value is a document of that type. A list of rules in its place is a type without a name.

```yaml
- parent = above: [nick = name]
- child = below: {as: [nick = name]}
```

```pairs
{\"parent\":{\"nick\":\"x\"},\"child\":{\"nick\":\"y\"}} <-> {\"above\":{\"name\":\"x\"},\"below\":{\"name\":\"y\"}}
{\"parent\":null} <-> {\"above\":null}
```

A type may contain itself at a deeper place. A type may also be one conversion: `Text: {json: true}`.
"),
    page("each", &["key", "unfit"], "every element of a list", "\
`each: CONVERSION` converts every element of a list.

```yaml
- lines = items: {each: [sku = product, qty = quantity], key: id}
- prices = amounts: {each: {decimal: 2}}
```

```pairs
{\"lines\":[{\"id\":1,\"sku\":\"a\"}]} <-> {\"items\":[{\"id\":1,\"product\":\"a\"}]}
{\"prices\":[100,null]} <-> {\"amounts\":[\"1.00\",null]}
{\"lines\":[]} <-> {\"items\":[]}
{\"lines\":[{\"id\":1,\"qty\":3}]} @ {\"items\":[{\"id\":1,\"quantity\":2,\"new\":true}]} => {\"items\":[{\"id\":1,\"quantity\":3,\"new\":true}]}
```

* `key: place` is a place inside an old element that tells elements apart when an old client writes the list back:
  each is put onto its live counterpart, wherever that stands.
* `unfit: drop` leaves out elements that do not convert, `pass` lets them through; both need `loss:`.
"),
    page("values", &[], "every value of a dictionary", "\
`values: CONVERSION` converts every value of an object that is used as a dictionary; the names stay.

```yaml
- prices = amounts: {values: {decimal: 2}}
```

```pairs
{\"prices\":{\"a\":100,\"b\":5}} <-> {\"amounts\":{\"a\":\"1.00\",\"b\":\"0.05\"}}
{\"prices\":{}} <-> {\"amounts\":{}}
```
"),
    page("via", &[], "several conversions in a row", "\
`via: [C1, C2, …]` applies one conversion after another from old to new; the way down runs them backwards.

```yaml
- tags = labels: {via: [{csv: \",\"}, {each: {case: [lower, upper]}}]}
```

```pairs
{\"tags\":\"a,b\"} <-> {\"labels\":[\"A\",\"B\"]}
```

Where a conversion leaves the value absent, later ones see an absent value.
"),
    page("flip", &[], "a conversion with its sides exchanged", "\
`flip: {CONVERSION}` is the same conversion with old and new exchanged: for changes that went the other way round.

```yaml
- phones = phone: {flip: {head: true, optional: true}}
- price = total: {flip: {decimal: 2}}
```

```pairs
{\"phones\":[\"1\"]} <-> {\"phone\":\"1\"}
{\"price\":\"19.99\"} <-> {\"total\":1999}
```
"),
    page(
        "cases",
        &[],
        "documents and values that come in several forms",
        "\
`cases: [{old: FORM, new: FORM}, …]` translates by the first case that fits. As an entry of its own it concerns the
members of the document that its forms name; as a conversion (`- ref: {cases: […]}`) one value.

```yaml
- cases:
    - {old: {user: $u}, new: {id: {type: user, name: $u}}}
    - {old: {mail: $m}, new: {id: {type: mail, address: $m}}}
    - {else: pass}
- port = target:
    cases:
      - {old: $n, new: {number: $n}, with: {n: {is: number}}}
      - {old: $s, new: {name: $s}, with: {s: {is: string}}}
```

```pairs
{\"user\":\"x\",\"pin\":1} <-> {\"id\":{\"type\":\"user\",\"name\":\"x\"},\"pin\":1}
{\"mail\":\"a@b\"} <-> {\"id\":{\"type\":\"mail\",\"address\":\"a@b\"}}
{\"pin\":1} <-> {\"pin\":1}
{\"port\":80} <-> {\"target\":{\"number\":80}}
{\"port\":\"http\"} <-> {\"target\":{\"name\":\"http\"}}
```

A case has

* `old:` and `new:`, its forms (`bifocal explain forms`); a variable stands once on each side.
* `with: {v: CONVERSION}` converts a variable from old to new. Where it refuses, the case does not fit.
* `when:` a further condition (`bifocal explain when`).
* `rules:` rules for documents of this form only.

A document that no case fits is refused if it has a member that the forms speak of; otherwise the cases are none of its
business. A single value that no case fits is refused. `{else: pass}` at the end lets all others through.
",
    ),
    page("wrap", &["with"], "a value becomes a structure around it", "\
`wrap: FORM` puts the old value where `$` stands in the form of the new one.

```yaml
- status: {wrap: {coding: [{system: \"http://x\", code: $}]}}
- cents = price: {wrap: {value: $, unit: {$default: EUR}}, with: {$: {decimal: 2}}}
```

```pairs
{\"status\":\"open\"} <-> {\"status\":{\"coding\":[{\"system\":\"http://x\",\"code\":\"open\"}]}}
{\"cents\":150} <-> {\"price\":{\"value\":\"1.50\",\"unit\":\"EUR\"}}
{} <-> {}
```

`with:` converts variables, as in a case. A new value of another form is
refused. `flip: {wrap: FORM}` takes the structure off.
"),
    page("one_or_many", &[], "one value, or a list of such values", "\
`one_or_many: CONVERSION` is for places that hold one value or a list of them: a list is converted element by element,
anything else as one value.

```yaml
- to: {one_or_many: {prefix: \"mailto:\"}}
```

```pairs
{\"to\":\"mailto:a\"} <-> {\"to\":\"a\"}
{\"to\":[\"mailto:a\",\"mailto:b\"]} <-> {\"to\":[\"a\",\"b\"]}
```
"),
    page("flatten", &[], "a list of lists, one list", "\
`flatten: true` makes one list of all elements of an old list of lists; on the way down each element is a list of its own.

```yaml
- groups = members: {flatten: true}
```

```pairs
{\"groups\":[[1],[2,3]]} -> {\"members\":[1,2,3]}
{\"groups\":[[1],[2]]} <-> {\"members\":[1,2]}
```
"),
    page("entries", &[], "a dictionary, a list of its entries", "\
`entries: {key: name, value: value}` joins an old dictionary and a new list with one entry for each of its members.

```yaml
- labels = tags: {entries: {key: k, value: v, sort: true}}
- ports = endpoints: {entries: {key: name, last: true}}
```

```pairs
{\"labels\":{\"a\":1,\"b\":2}} <-> {\"tags\":[{\"k\":\"a\",\"v\":1},{\"k\":\"b\",\"v\":2}]}
{\"ports\":{\"http\":{\"port\":80}}} <-> {\"endpoints\":[{\"name\":\"http\",\"port\":80}]}
{\"labels\":{}} <-> {\"tags\":[]}
```

* Without `value:` the value is an object, and its members stand beside the key.
* `sort: true` writes the entries in the order of their names.
* Two entries of one name are refused; with `last: true` the last one counts.
"),
    page("flat", &[], "a flat form with paths as names, a tree", "\
`flat: brackets`, `flat: dots` or `flat: {separator: \".\", list: member}` joins an old flat object, whose names are paths,
and a new tree.

```yaml
- form = tree: {flat: brackets}
- query = filter: {flat: {separator: \".\", list: member}}
```

```pairs
{\"form\":{\"a[b]\":\"1\",\"c[0]\":\"x\",\"c[1]\":\"y\"}} <-> {\"tree\":{\"a\":{\"b\":\"1\"},\"c\":[\"x\",\"y\"]}}
{\"query\":{\"To.member.1\":\"x\",\"From\":\"y\"}} <-> {\"filter\":{\"To\":[\"x\"],\"From\":\"y\"}}
```

`brackets` counts elements from 0 (`a[b][0]`, as Rails, PHP and Stripe do); with a separator they count from 1 behind
the word of `list`. A form body (`application/x-www-form-urlencoded`) is such an object.
"),
    page("link", &[], "an address of the service", "\
`link: true` is for a text that holds an address of the service: it goes through the routes, as the addresses in headers
do, so it leads the client that reads it back to a route of its own version.

```yaml
types:
  List:
    - next_url = links.next: {link: true}
    - links = related: {values: {link: true}}
    - image: {link: true}
routes:
  - GET /v1/orders = GET /v2/orders:
      request:
        - query.per_page = query.limit
        - query.sort = query.order_by: {names: [total = price], list: \",\"}
  - GET /v1/orders/{id}.json = GET /v2/orders/{id}: {200: List}
  - GET /v1/find/{text} = GET /v2/orders?search={text}
```

```pairs
{\"next_url\":\"/v1/orders?per_page=5&sort=-total#end\"} <-> {\"links\":{\"next\":\"/v2/orders?limit=5&order_by=-price#end\"}}
{\"links\":{\"self\":\"/v1/orders/a%2Fb.json\"}} <-> {\"related\":{\"self\":\"/v2/orders/a%2Fb\"}}
{\"links\":{\"red\":\"/v1/find/red\"}} <-> {\"related\":{\"red\":\"/v2/orders?search=red\"}}
{\"image\":\"https://cdn.example/v2/orders/7\"} <-> {\"image\":\"https://cdn.example/v2/orders/7\"}
{\"image\":\"/none\"} <-> {\"image\":\"/none\"}
{\"next_url\":null} <-> {\"links\":{\"next\":null}}
{\"next_url\":7} -> ! next_url: expected an address
```

* The path, its parameters and the query change as a request for that address would, and come back with what a client
  sends. Of routes for several methods the one for `GET` counts, then `PUT`, `PATCH`, `DELETE` and `POST`. A fragment stays.
* With a host an address counts where that is the host that the caller has used, which stays, or in a response the
  service's own, of which the path is left. Outside of the gateway, as in examples, no caller's host is known.
* In a response `?page=2` and other relative addresses are relative to what was asked for. In requests they stay.
* What is empty, no http address, another host's, or covered by no route stays as it is. So does what stands in the query
  of an address, unless the route's own rules say `link` of it.
"),
    page("names", &["style", "list"], "texts that name fields", "\
`names: Type` renames the fields that a text speaks of, as the rules of that type rename them.

```yaml
- sort = order_by: {names: [nick = profile.name], list: \",\"}
- at = pointer: {names: [nick = profile.name], style: pointer}
```

```pairs
{\"sort\":\"-nick,id\"} <-> {\"order_by\":\"-profile.name,id\"}
{\"at\":\"/nick\"} <-> {\"pointer\":\"/profile/name\"}
```

* `style:` `dots` (`a.b`, the default), `pointer` (`/a/b`) or `brackets` (`a[b]`).
* `list: \",\"` where a text holds several names. A sign in front (`-name`) stays.
* Names that no rule speaks of stay as they are.
"),
    page("is", &[], "the value must be of this kind", "\
`is: KIND` changes nothing, but refuses other values: a JSON type (`null`, `boolean`, `number`, `integer`, `string`,
`array`, `object`), a list of types, or a list of values.

```yaml
- size: {is: [small, large]}
- port: {is: integer}
```

```pairs
{\"size\":\"small\",\"port\":80} <-> {\"size\":\"small\",\"port\":80}
{\"port\":\"x\"} -> ! port: expected a value of another kind
```

Most useful in `with:` of a case, where a refused value means that the case does not fit.
"),
    page("not", &[], "the value must not be of this kind", "\
`not: KIND` refuses the values that `is: KIND` lets through.

```yaml
- cases:
    - {old: {port: $n}, new: {number: $n}, with: {n: {not: string}}}
    - {old: {port: $s}, new: {name: $s}, with: {s: {is: string}}}
```

```pairs
{\"port\":80} <-> {\"number\":80}
{\"port\":\"http\"} <-> {\"name\":\"http\"}
```
"),
    page("cel", &[], "expressions, the last resort", "\
`cel: {up: \"…\", down: \"…\"}` computes the value by an expression of CEL for each direction. `value` is the value,
`old_request` and `new_request` the request that a response answers.

```yaml
- celsius = kelvin: {cel: {up: \"value + 273\", down: \"value - 273\"}}
```

```pairs
{\"celsius\":20} <-> {\"kelvin\":293}
```

Nothing is proven of an expression: use an operation that says what it does wherever there is one.
"),
];
