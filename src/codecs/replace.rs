//! `replace: [a, b]`

use super::argument::Arguments;
use super::value::text;
use super::{Direction, Guard, Info};
use crate::json::write_string;

pub(super) const INFO: Info = Info {
    name: "replace",
    options: &[],
    places: (1, 1),
    manual: "\
`replace: [a, b]` writes `b` on the new side wherever the old text has `a`.

```yaml
- path = key: {replace: [\"/\", \".\"]}         # \"a/b/c\" <-> \"a.b.c\"
```

A text that would not come back is refused, in both directions: `a.b` in the example, whose `.` would come back as `/`.
Exact in both directions.
",
};

/// The most bytes that one may become: a text grows by this factor at most.
const MAX_LENGTH: usize = 64;

/// One text for another, wherever it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replace {
    /// The old side's; not empty.
    pub old: String,
    /// The new side's; not empty.
    pub new: String,
}

impl Replace {
    pub(super) fn parse(arguments: &mut Arguments<'_>) -> Option<Self> {
        const HELP: &str = "write for example `replace: [\"/\", \".\"]`";
        let texts = arguments
            .pair(HELP)?
            .map(|node| node.as_str().filter(|text| !text.is_empty() && text.len() <= MAX_LENGTH).ok_or(node.span));
        match texts {
            [Ok(old), Ok(new)] if old != new => Some(Self { old: old.to_owned(), new: new.to_owned() }),
            [Ok(_), Ok(_)] => arguments.refuse(arguments.own.span, "both texts are the same", HELP),
            [Err(span), _] | [_, Err(span)] => {
                arguments.refuse(span, format!("expected a text of 1 to {MAX_LENGTH} bytes"), HELP)
            }
        }
    }

    pub(super) fn convert(&self, direction: Direction, value: &[u8], out: &mut Vec<u8>) -> Result<(), Guard> {
        let (from, to) = direction.order(&self.old, &self.new);
        let text = text(value)?;
        let written = text.replace(from.as_str(), to);
        if written.replace(to.as_str(), from) != *text {
            return Err(format!("expected text in which every `{from}` can be told from `{to}`").into());
        }
        write_string(&written, out);
        Ok(())
    }
}
