//! `page: {size: n, first: n}`

use super::argument::Arguments;
use super::{Direction, Guard, Info, Written};
use crate::json::unescape;

pub(super) const INFO: Info = Info {
    name: "page",
    options: &[],
    places: (2, 2),
    manual: "\
`page: {size: n, first: n}` joins a page and its size, and an offset and a limit.

```yaml
- query.page + query.per_page = query.offset + query.limit: {page: {size: 20, first: 1}}     # 3, 10 <-> 20, 10
```

* `size` (required) is the size where none is said, `first` (default 1) the number of the first page.
* up: offset = (page - first) × size, limit = size. down: page = offset / limit + first; an offset that is not a multiple
  of the limit is refused.
* where neither place of a side has a value, the other side gets none. Where one has, the other counts as `size`, or as
  the first page.
* whole numbers only, as numbers or, as in queries, as texts; each side is written as the other one was.

Old-exact, but for a page or a size that is not said: it comes back as the one it means.

A cursor is no offset: only the service knows what it stands for, so no page but the next can be reached, and `page`
refuses to count with a place that is called `…cursor` or `…token`. Old clients that walk from page to page can do so
still, where they send back the page that an answer names as the next. It carries the cursor:

```yaml
routes:
  - GET /v1/orders = GET /v2/orders:
      request:
        - query.page = query.cursor: {via: [{nothing: [\"1\", absent]}, {prefix: c~}]}
      200:
        - body.next_page = body.next_cursor: {prefix: c~}
```

No page and page 1 have no cursor; page `c~abc` is the cursor `abc`. Any other page is refused with 422 and the name of the
field. It is for clients that take the next page as a text; addresses of pages are rewritten by `link`.
",
};

/// A page and its size, an offset and a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// The size where none is said; not zero.
    pub size: u64,
    /// The number of the first page.
    pub first: u64,
}

/// A whole number, and whether it is spelled as a text.
type Count = (u64, bool);

impl Page {
    pub(super) fn parse(arguments: &mut Arguments<'_>) -> Option<Self> {
        const HELP: &str = "write for example `page: {size: 20, first: 1}`";
        let own = arguments.own;
        let (mut size, mut first) = (None, 1);
        for (key, value) in own.as_map().unwrap_or_default() {
            let Some(number) = value.as_str().and_then(|text| text.parse::<u64>().ok()) else {
                return arguments.refuse(value.span, "expected a whole number", HELP);
            };
            match key.as_str() {
                Some("size") => size = Some(number),
                Some("first") => first = number,
                _ => return arguments.refuse(key.span, "`page` takes `size` and `first`", HELP),
            }
        }
        match size.filter(|size| *size > 0) {
            Some(size) => Some(Self { size, first }),
            None => arguments.refuse(own.span, "`page` needs a `size` above zero", HELP),
        }
    }

    pub(super) fn convert(
        self,
        direction: Direction,
        inputs: &[Option<&[u8]>],
        outputs: &mut [Written],
        out: &mut Vec<u8>,
    ) -> Result<(), Guard> {
        let ([place, size], [to_place, to_size]) = (inputs, outputs) else {
            return Err("expected two places on either side".into());
        };
        let (at, count) = (read(*place)?, read(*size)?);
        let Some((_, like)) = at.or(count) else {
            for (input, output) in [(place, to_place), (size, to_size)] {
                *output = input.map(|raw| append(raw, out));
            }
            return Ok(());
        };
        let (size, like_size) = count.unwrap_or((self.size, like));
        if size == 0 {
            return Err("expected a size above zero".into());
        }
        let too_large = || Guard::Borrowed("expected a number of reasonable size");
        let (place, like) = match (direction, at) {
            (Direction::Up, Some((page, like))) => {
                let before = page.checked_sub(self.first);
                let before = before.ok_or_else(|| Guard::from(format!("expected a page from {} on", self.first)))?;
                (before.checked_mul(size).ok_or_else(too_large)?, like)
            }
            (Direction::Up, None) => (0, like),
            (Direction::Down, at) => {
                let (offset, like) = at.unwrap_or((0, like));
                if !offset.is_multiple_of(size) {
                    return Err("expected an offset that is a multiple of the limit".into());
                }
                ((offset / size).checked_add(self.first).ok_or_else(too_large)?, like)
            }
        };
        *to_place = Some(write((place, like), out));
        *to_size = Some(write((size, like_size), out));
        Ok(())
    }
}

fn read(raw: Option<&[u8]>) -> Result<Option<Count>, Guard> {
    const EXPECTED: Guard = Guard::Borrowed("expected a whole number in its plainest form");
    let Some(raw) = raw.filter(|raw| *raw != b"null") else { return Ok(None) };
    let is_text = raw.first() == Some(&b'"');
    let digits = if is_text { unescape(raw) } else { std::str::from_utf8(raw).ok().map(Into::into) };
    let digits = digits.ok_or(EXPECTED)?;
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    let number = digits.parse().ok().filter(|_| is_plain).ok_or(EXPECTED)?;
    Ok(Some((number, is_text)))
}

fn write((number, is_text): Count, out: &mut Vec<u8>) -> (usize, usize) {
    let text = if is_text { format!("\"{number}\"") } else { number.to_string() };
    append(text.as_bytes(), out)
}

fn append(raw: &[u8], out: &mut Vec<u8>) -> (usize, usize) {
    let start = out.len();
    out.extend_from_slice(raw);
    (start, out.len())
}
