//! `invert: true`

use super::argument::Arguments;
use super::{Guard, Info};

pub(super) const INFO: Info = Info {
    name: "invert",
    options: &[],
    places: (1, 1),
    manual: "\
`invert: true` turns a boolean into its opposite, both ways.

```yaml
- taxable = tax_exempt: {invert: true}
```

Exact in both directions. Anything but `true`, `false` and null is refused.
",
};

/// A boolean and its opposite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invert;

impl Invert {
    pub(super) fn parse(arguments: &mut Arguments<'_>) -> Option<Self> {
        arguments.switch("invert").map(|()| Self)
    }

    #[expect(clippy::unused_self, reason = "the shape that every codec has")]
    pub(super) fn convert(self, value: &[u8], out: &mut Vec<u8>) -> Result<(), Guard> {
        out.extend_from_slice(match value {
            b"true" => b"false",
            b"false" => b"true",
            _ => return Err("expected a boolean".into()),
        });
        Ok(())
    }
}
