//! How messages are joined.

use super::{Kind, Page};

const fn page(name: &'static str, line: &'static str, manual: &'static str) -> Page {
    Page { name, kind: Kind::Route, options: &[], line, manual }
}

pub(super) const PAGES: &[Page] = &[
    page(
        "routes",
        "which request of one side is which of the other",
        "\
A route joins a method and a path of both sides; the rules of its messages stand below it.

```yaml
types:
  Order: [total = price]
routes:
  - \"* /v1/{rest...} = * /v2/{rest...}\"
  - GET /v1/orders/{id}.json = GET /v2/orders/{id}: {200: Order}
  - GET /v1/orders/open = GET /v2/orders?state=open
  - GET /v1/find/{text} = GET /v2/orders?search={text}
  - DELETE /v1/orders/{id}/star = POST /v2/orders/{id}/unstar
```

* `*` on both sides keeps the method. `{id}` is a segment or a part of one, `{rest...}` one or more segments at the end.
* `?state=open` must be there, and is written; `?search={text}` joins a query parameter and a path parameter.
* Of two routes that match, the more specific one wins.
* Each parameter of one side exists on the other, or `request:` says what becomes of it: `[path.id = path.order_id]`.
* Below it: `write`, `request`, a status (`200`), a class (`4XX`), `response` (short for `2XX`), `default`,
  two statuses (`404 = 200`) and `responses`.
",
    ),
    page(
        "messages",
        "requests and responses as documents",
        "\
A message is one document, and its rules are equations like any others. A request is `{method, path, query, header,
cookie, body}`, a response `{status, header, body, request}`. A type's name in place of rules is the type of the body.

```yaml
types:
  Order: [total = price]
routes:
  - GET /orders = GET /v2/orders:
      request:
        - query.per_page = query.limit
        - {added: header.X-Client, default: bifocal}
      200:
        - body = body.data: {each: Order}
        - header.X-Total = body.meta.total: {type: [string, integer]}
        - header.X-Old-{name} = header.X-New-{name}
```

Query values are texts, or lists of texts where a parameter is repeated. Header names have no letter case. A form body
is a flat object, a text body a text.
",
    ),
    page(
        "statuses",
        "a response whose status changes",
        "\
`404 = 200` joins responses of different statuses, old left and new right.

```yaml
routes:
  - GET /keys/{id} = GET /v2/keys/{id}:
      204 = 200: [{added: body}]
      409 = 422:
```
",
    ),
    page(
        "responses",
        "responses told apart by more than the status",
        "\
`responses:` is a list of responses with conditions; the first that fits wins, before the plain statuses.

```yaml
routes:
  - POST /check = POST /v2/check:
      responses:
        - status: 404 = 200
          when: {old: \"$.body.error\", new: \"$.body.valid == false\"}
          rules: [body.error = body.reason, {added: body.valid, default: false}]
        - status: 200
          rules: [{added: body.valid, default: true}]
```

Each has `status:` (one for both sides, or `old = new`), `when:` on the response document, which has the request as
`$.request`, and `rules:`.
",
    ),
    page(
        "write",
        "how old writes reach new documents",
        "\
`write: merge` reads the live document of the new service first, puts the old one onto it and sends the result with
`If-Match`: what the old client did not change stays. `write: replace`, the default, translates the body alone.

```yaml
types:
  Order: [id, total = price]
routes:
  - PUT /orders/{id} = PUT /v2/orders/{id}: {write: merge, request: Order, 200: Order}
```
",
    ),
];
