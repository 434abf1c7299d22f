//! How places are written.

use super::{Kind, Page};

const fn page(name: &'static str, line: &'static str, manual: &'static str) -> Page {
    Page { name, kind: Kind::Place, options: &[], line, manual }
}

pub(super) const PAGES: &[Page] = &[
    page("places", "paths of member names, and more", "\
A place is a path of member names.

| write | means |
|---|---|
| `a.b.c` | a member of a member |
| `$['odd.key'].x`, `a['odd key']` | a name that is no word |
| `.` | the whole document |
| `a[0]` | an element of a list, by index |
| `a[type=home].number` | the first element that has these members |
| `a[...]` | all elements that no other rule owns |
| `x-{name}`, `{name}` | every member whose name has this form and that no other rule owns |
| `items.{$request.path.id}` | the member whose name is a value of the request |

```yaml
- street = address.line1
- $['odd.key'] = key
```

```pairs
{\"street\":\"s\",\"odd.key\":1} <-> {\"address\":{\"line1\":\"s\"},\"key\":1}
```

Missing parents are made. In a message places begin with `method`, `path`, `query`, `header`, `cookie`, `status` or
`body`. Two rules may not own the same place.
"),
    page("index", "one element of a list", "\
`a[0]` is the first element of a list, `a[1]` the second.

```yaml
- first = list[0]
```

```pairs
{\"first\":1} <-> {\"list\":[1]}
{\"list\":[2],\"first\":1} <- {\"list\":[1,2]}
```
"),
    page("selector", "the element that has these members", "\
`a[type=home].number` is a place in the first element that has these members; several are joined by commas, and may be
nested: `[type=Resource, resource.name=cpu]`. Where there is none, it is made with them.

```yaml
- home = phones[type=home].number
- work = phones[type=work].number
```

```pairs
{\"home\":\"1\",\"work\":\"2\"} <-> {\"phones\":[{\"number\":\"1\",\"type\":\"home\"},{\"number\":\"2\",\"type\":\"work\"}]}
{\"phones\":[{\"type\":\"fax\",\"number\":\"3\"}],\"home\":\"1\"} <- {\"phones\":[{\"type\":\"fax\",\"number\":\"3\"},{\"type\":\"home\",\"number\":\"1\"}]}
```

An element of which only the members of the selector are left vanishes.
"),
    page("others", "the elements that no other rule owns", "\
`a[...]` is each element of a list that no other rule owns; a conversion applies to each of them, and on the target they
are appended.

```yaml
- cpu = metrics[name=cpu].value
- custom[...] = metrics[...]
```

```pairs
{\"cpu\":80,\"custom\":[{\"name\":\"x\",\"value\":1}]} <-> {\"metrics\":[{\"value\":80,\"name\":\"cpu\"},{\"name\":\"x\",\"value\":1}]}
```
"),
    page("pattern", "every member whose name has a form", "\
`x-{name}` is every member whose name has this form and that no other rule owns; the variable stands for itself on the
other side.

```yaml
- id
- extensions.{name} = x-{name}
```

```pairs
{\"id\":1,\"extensions\":{\"a\":1,\"b\":2}} <-> {\"id\":1,\"x-a\":1,\"x-b\":2}
```

It may stand in the middle of a place: `nodes.{n}.pool = nodes.{n}.thread_pool`. `keys:` converts names, `only:` takes
values of one kind. Of several patterns that fit a name, the longest owns it.
"),
    page("request", "a value of the request that a response answers", "\
`$request` in a response is the request as the side sees it that the document comes from; `$old_request` and
`$new_request` say which. Its members are `method`, `path` (parameters), `query`, `header` (lower case names) and `body`.

```yaml
routes:
  - GET /items/{id} = GET /v2/items/{id}:
      200:
        - body.item = body.items.{$request.path.id}
        - {removed: body.page, from: $request.query.page, loss: \"told by the request\"}
```

It may stand in the name of a place, in `from:`, in texts (`\"{$request.path.id}\"`) and in forms.
"),
];
