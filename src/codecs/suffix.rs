//! `suffix: s` or `suffix: [old, new]`

use super::argument::Arguments;
use super::prefix::{Affix, Edge};
use super::{Direction, Guard, Info};

pub(super) const INFO: Info = Info {
    name: "suffix",
    options: &[],
    places: (1, 1),
    manual: "\
`suffix: s` is a text that ends with `s` on the old side and goes without it on the new one; `suffix: [s, t]` ends with
`s` on the old side and with `t` on the new one.

```yaml
- file = name: {suffix: \".json\"}                  # \"a.json\" <-> \"a\"
- file = file: {suffix: [\".yml\", \".yaml\"]}        # \"a.yml\" <-> \"a.yaml\"
```

A text without its side's suffix is refused. Exact in both directions.
",
};

/// What a text ends with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suffix(pub Affix);

impl Suffix {
    pub(super) fn parse(arguments: &mut Arguments<'_>) -> Option<Self> {
        Affix::parse("suffix", arguments).map(Self)
    }

    pub(super) fn convert(&self, direction: Direction, value: &[u8], out: &mut Vec<u8>) -> Result<(), Guard> {
        self.0.convert(Edge::End, direction, value, out)
    }
}
