//! Entries of a rule list.

use super::{Kind, Page};

const fn rule(name: &'static str, options: &'static [&'static str], line: &'static str, manual: &'static str) -> Page {
    Page { name, kind: Kind::Rule, options, line, manual }
}

pub(super) const PAGES: &[Page] = &[
    rule(
        "equation",
        &[],
        "old = new: the same information at two places",
        "\
`old = new` says that a place of the old document and a place of the new one hold the same information.

```yaml
- id
- nick = profile.name
- total = price.value: {decimal: 2}
```

```pairs
{\"id\":1,\"nick\":\"x\",\"other\":[1.0]} <-> {\"id\":1,\"profile\":{\"name\":\"x\"},\"other\":[1.0]}
{\"total\":1999} <-> {\"price\":{\"value\":\"19.99\"}}
{\"nick\":null} <-> {\"profile\":{\"name\":null}}
{} <-> {}
```

* Left is old, right is new; every equation reads both ways. One place alone is the same on both sides.
* Behind the colon stands how the value changes: a type's name, a list of rules, or a map with one conversion.
* Absent stays absent and null stays null, unless the conversion says otherwise.
* Members that no rule names pass as they are. What is moved is no longer at its old place.
",
    ),
    rule(
        "added",
        &["default", "from", "reduce", "separator", "when", "unfit"],
        "a place that only the new side has",
        "\
`added: place` exists only in the new interface.

```yaml
- {added: channel, default: web}
- {added: label, from: \"{first} {last}\"}
```

```pairs
{\"first\":\"A\",\"last\":\"B\"} <-> {\"first\":\"A\",\"last\":\"B\",\"channel\":\"web\",\"label\":\"A B\"}
```

* `default: V` is written on the way up; without it nothing is.
* `from: SOURCE` makes the value from the old document (`bifocal explain from`); `reduce:` and its `separator:` belong
  to a query (`bifocal explain reduce`); a codec may follow. `default:` then is for an absent source.
* `when: QUERY` on the old document says when; `unfit:` what becomes of a source that does not convert.
* down: the value is left out. A write-back keeps what the live document has.
",
    ),
    rule(
        "removed",
        &["default", "from", "reduce", "separator", "when", "unfit", "loss"],
        "a place that only the old side has",
        "\
`removed: place` exists only in the old interface. What old clients write there is lost, so the rule says why: `loss:`.

```yaml
- {removed: fax, default: null, loss: \"the fax machine was given away\"}
- {removed: count, from: \"$.items[*]\", reduce: count, loss: \"counted anew\"}
```

```pairs
{\"items\":[1,2],\"count\":2,\"fax\":null} <- {\"items\":[1,2]}
{\"fax\":\"12\",\"items\":[1,2]} -> {\"items\":[1,2]}
```

* `default:`, `from:`, `reduce:`, `separator:`, `when:`, `unfit:` as for `added`, read from the new document.
* A codec is written as if the equation were `removed = from`: it is read from new to old.
",
    ),
    rule(
        "on",
        &["cases"],
        "cases told apart by one member",
        "\
`on: old = new` names the member that tells documents apart, `cases:` the rules for each of its values.

```yaml
- on: kind = type
  cases:
    card = CARD: [number = card.number]
    cash = CASH:
```

```pairs
{\"kind\":\"card\",\"number\":\"4\"} <-> {\"type\":\"CARD\",\"card\":{\"number\":\"4\"}}
{\"kind\":\"cash\"} <-> {\"type\":\"CASH\"}
{\"kind\":\"gold\"} -> ! kind: the document fits none of the cases
```

A key without ` = ` is the same on both sides. Nothing behind the colon: only the tag changes. `else: pass` as the last
entry lets documents with another tag through.
",
    ),
    rule(
        "rest",
        &["loss"],
        "leave out members that no rule names",
        "\
`rest: drop` leaves out what no rule names, on both ways; `rest: {old: drop}` only of old documents (up),
`rest: {new: drop}` only of new ones (down).

```yaml
- id
- {rest: {new: drop}}
```

```pairs
{\"id\":1,\"x\":2} -> {\"id\":1,\"x\":2}
{\"id\":1} <- {\"id\":1,\"x\":2}
```

`loss: why` may say why that is right. Inside a case it concerns documents of that case.
",
    ),
];
