//! How values are described in cases and `wrap`.

use super::{Kind, Page};

const fn page(name: &'static str, line: &'static str, manual: &'static str) -> Page {
    Page { name, kind: Kind::Form, options: &[], line, manual }
}

pub(super) const PAGES: &[Page] = &[
    page("forms", "YAML that looks like the value", "\
A form is YAML that looks like the value that it describes. It is used in `cases` and `wrap`.

| write | reads and writes |
|---|---|
| `$name`, `$` | any value; the same variable on the other side stands for it |
| `\"text {a}-{b}\"` | a text with variable parts |
| `open`, `5`, `null` | exactly this value |
| `{name: $n}` | an object with at least this member |
| `{\"name?\": $n}` | the member may be absent |
| `{\"...\": $rest}` | all further members, as one object |
| `{\"{k}\": FORM}` | every further member, its name in `$k` |
| `[F1, F2]` | a list of exactly these elements |
| `[F1, {$each: F}, F2]` | any number of elements between |
| `{$set: [F1, F2]}` | these elements in any order |
| `{$default: FORM}` | reads anything or nothing, writes this |
| `{$literal: V}` | exactly V, whatever it looks like |
| `$$x`, `{{` | a text that begins with `$x`, a brace |

```yaml
- cases:
    - old: {name: $n, \"kind?\": Task}
      new: {params: {$set: [{name: name, value: $n}, {name: kind, value: Task}]}}
```

```pairs
{\"name\":\"x\"} -> {\"params\":[{\"name\":\"name\",\"value\":\"x\"},{\"name\":\"kind\",\"value\":\"Task\"}]}
{\"name\":\"x\"} <- {\"params\":[{\"name\":\"kind\",\"value\":\"Task\"},{\"name\":\"name\",\"value\":\"x\"}]}
```

* Further members of the outermost object, and of objects that are nested in it by name, pass. Inside lists nothing may.
* A variable stands once on each side, except inside `$default`.
* An optional constant (`\"kind?\": Task`) may be there and is not written.
"),
    page("variables", "what stands for any value in a form", "\
`$name` stands for any value, `{name}` inside a text for a part of it. `$` alone is a variable too.

```yaml
- cases:
    - {old: {ref: \"{group}/{id}\"}, new: {group: $group, id: $id}}
```

```pairs
{\"ref\":\"a/7\"} <-> {\"group\":\"a\",\"id\":\"7\"}
```

Two variable parts of a text need a text between them. What only one side has is `{$default: V}` there.
"),
    page("$each", "any number of elements", "\
`[{$each: FORM}]` describes every element of a list, `{\"{k}\": FORM}` every further member of an object. Variables inside
are columns of a table: each element is a row.

```yaml
- series = rows:
    cases:
      - old: [{$each: {type: $t, values: {\"{k}\": $v}}}]
        new: [{$each: {type: $t, name: $k, value: $v}}]
```

```pairs
{\"series\":[{\"type\":\"a\",\"values\":{\"x\":1,\"y\":2}}]} <-> {\"rows\":[{\"type\":\"a\",\"name\":\"x\",\"value\":1},{\"type\":\"a\",\"name\":\"y\",\"value\":2}]}
```

From flat to nested, rows with equal outer values become one group, in the order of appearance; from nested to flat the
outer values are repeated. A variable that stands outside the repetition on the target must be equal in all rows.
"),
    page("$set", "elements in any order", "\
`{$set: [F1, F2]}` is a list of exactly these elements, read in any order and written in this one.

```yaml
- at = pair: {cases: [{old: {x: $x, y: $y}, new: {$set: [{axis: x, at: $x}, {axis: y, at: $y}]}}]}
```

```pairs
{\"at\":{\"x\":1,\"y\":2}} <-> {\"pair\":[{\"axis\":\"x\",\"at\":1},{\"axis\":\"y\",\"at\":2}]}
{\"at\":{\"y\":2,\"x\":1}} <- {\"pair\":[{\"axis\":\"y\",\"at\":2},{\"axis\":\"x\",\"at\":1}]}
```
"),
    page("$default", "read anything, write this", "\
`{$default: FORM}` reads anything, or nothing at all, and writes this. It may hold variables of its case.

```yaml
- tags = labels: {each: {wrap: {name: $, url: {$default: \"https://x/{$}\"}}}}
```

```pairs
{\"tags\":[\"a\"]} <-> {\"labels\":[{\"name\":\"a\",\"url\":\"https://x/a\"}]}
{\"tags\":[\"a\"]} <- {\"labels\":[{\"name\":\"a\"}]}
```
"),
    page("$literal", "exactly this value", "\
`{$literal: V}` is exactly the value V, for values that look like something else in a form.

```yaml
- cases:
    - {old: {kind: $$x}, new: {kind: {$literal: {$each: 1}}}}
```

```pairs
{\"kind\":\"$x\"} <-> {\"kind\":{\"$each\":1}}
```
"),
];
