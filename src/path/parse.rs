//! Text -> place.

use std::fmt;
use std::ops::Range;

use super::Place;
use super::extended::{Step, View};
use crate::diagnostic::Span;

/// Members from the root down; no document is read deeper.
pub const MAX_SEGMENTS: usize = 64;

/// Why a text is not a place, a template or a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceError {
    /// The bytes of the text that are wrong.
    pub at: Range<usize>,
    /// What is wrong, in one line.
    pub message: String,
    /// How to mend it.
    pub help: Option<&'static str>,
    /// Whether a limit is exceeded rather than the grammar.
    pub over_limit: bool,
}

const SINGULAR: &str = "a place is one member of a document; the elements of a list are reached by `each`";
const PATTERN: &str = "a variable part is written `{name}`, once, such as `x-{name}`; a literal brace is doubled, `{{`";
const ODD_NAME: &str = "write unusual names as `$['odd name'].next`";

/// Reads `a.b`, `$.a.b`, `$['odd.key'].b` or `.` into member names.
///
/// # Errors
/// The first mistake.
pub fn parse(text: &str) -> Result<Vec<String>, PlaceError> {
    let (view, steps) = parse_steps(text)?;
    let name = |step| if let Step::Name(name) = step { Some(name) } else { None };
    if let (None, Some(names)) = (view, steps.into_iter().map(name).collect::<Option<Vec<_>>>()) {
        return Ok(names);
    }
    Err(PlaceError {
        at: 0..text.len(),
        message: "only member names can stand here".to_owned(),
        help: Some(SINGULAR),
        over_limit: false,
    })
}

/// Reads a place, also one with an index (`a[0]`), an element by its members (`a[type=home].number`), the elements
/// that no other rule owns (`a[...]`), names with a variable part (`x-{name}`), or of the request (`$request.path.id`).
///
/// # Errors
/// The first mistake.
pub fn parse_place(text: &str, span: Span) -> Result<Place, PlaceError> {
    let (view, mut steps) = parse_steps(text)?;
    let plain = steps.iter().take_while(|step| matches!(step, Step::Name(_))).count();
    let tail = steps.split_off(plain);
    let name = |step| if let Step::Name(name) = step { Some(name) } else { None };
    let segments = steps.into_iter().filter_map(name).collect();
    Ok(Place { segments, tail, view, span })
}

fn parse_steps(text: &str) -> Result<(Option<View>, Vec<Step>), PlaceError> {
    if text == "." || text == "$" {
        return Ok((None, Vec::new()));
    }
    let (view, rest) = View::strip(text);
    let at = text.len() - rest.len();
    let mut parser = Parser { text, at, steps: Vec::new() };
    if view.is_none() || !rest.is_empty() {
        parser.run(view.is_some())?;
    }
    Ok((view, parser.steps))
}

/// Member names, shown as the shortest place that reads back as them.
pub(super) struct Shown<'n>(pub(super) &'n [String]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(self.0, out)
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    steps: Vec<Step>,
}

impl Parser<'_> {
    fn run(&mut self, within_view: bool) -> Result<(), PlaceError> {
        if self.text.is_empty() {
            return Err(self.error(0..0, "a place is missing", None));
        }
        if within_view {
            // What follows the view begins with `.` or `[`.
        } else if self.text.starts_with("$.") || self.text.starts_with("$[") {
            self.at = 1;
        } else if !self.text.starts_with('[') {
            self.name()?;
        }
        while let Some(next) = self.peek() {
            match next {
                '.' => {
                    self.at += 1;
                    if self.peek() == Some('.') {
                        let at = self.at - 1..self.at + 1;
                        return Err(self.error(at, "`..` searches at every depth", Some(SINGULAR)));
                    }
                    self.name()?;
                }
                '[' => self.bracket()?,
                _ => {
                    let at = self.at..self.at + next.len_utf8();
                    return Err(self.error(at, &format!("`{next}` cannot stand in a plain name"), Some(ODD_NAME)));
                }
            }
            if self.steps.len() > MAX_SEGMENTS {
                let mut error = self.error(0..self.text.len(), "the place is more than 64 members deep", None);
                error.over_limit = true;
                return Err(error);
            }
        }
        Ok(())
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    /// A plain name: letters, digits, `_` and `-`, any script; with `{variables}` a pattern of names.
    fn name(&mut self) -> Result<(), PlaceError> {
        let start = self.at;
        let rest = self.text.get(start..).unwrap_or_default();
        let mut inside = false;
        let ends = |one: char| {
            inside = if inside { one != '}' } else { one == '{' };
            !(is_plain(one) || inside || one == '}')
        };
        let length = rest.find(ends).unwrap_or(rest.len());
        let name = rest.get(..length).unwrap_or_default();
        self.at = start + length;
        if name.contains(['{', '}']) {
            return self.pattern(name, start..start + length);
        }
        if name.is_empty() {
            let next = self.peek();
            let at = start..start + next.map_or(0, char::len_utf8);
            return Err(match next {
                Some('*') => self.error(at, "`*` selects several members", Some(SINGULAR)),
                Some('[' | '.') | None => self.error(at, "a name is missing here", None),
                Some('$') => self.error(at, "`$` is only the root, at the start", Some(ODD_NAME)),
                Some(other) => self.error(at, &format!("`{other}` cannot stand in a plain name"), Some(ODD_NAME)),
            });
        }
        if name.bytes().all(|one| one.is_ascii_digit()) {
            let help = "for a member whose name is a number write `['0']`; a list's elements are reached by `each`";
            return Err(self.error(start..self.at, "a number would be the index of a list", Some(help)));
        }
        self.steps.push(Step::Name(name.to_owned()));
        Ok(())
    }

    fn pattern(&mut self, name: &str, at: Range<usize>) -> Result<(), PlaceError> {
        let step = Step::pattern(name).map_err(|message| self.error(at, message, Some(PATTERN)))?;
        self.steps.push(step);
        Ok(())
    }

    /// `[0]`, `[...]`, `[type=home]`; `false` where the bracket holds a quoted name.
    fn selector(&mut self, open: usize) -> bool {
        let rest = self.text.get(open + 1..).unwrap_or_default();
        if rest.starts_with(['\'', '"', '*', '?']) {
            return false;
        }
        let Some(length) = super::extended::bracket_end(rest) else { return false };
        let inner = rest.get(..length).unwrap_or_default();
        let Some(step) = Step::selector(inner) else { return false };
        self.at = open + 1 + length + 1;
        self.steps.push(step);
        true
    }

    /// `['name']` or `["name"]`, as RFC 9535 (2.3.1).
    fn bracket(&mut self) -> Result<(), PlaceError> {
        let open = self.at;
        if self.selector(open) {
            return Ok(());
        }
        self.at += 1;
        let quote = match self.peek() {
            Some(quote @ ('\'' | '"')) => quote,
            other => {
                let end =
                    self.text.get(open..).and_then(|rest| rest.find(']')).map_or(self.text.len(), |at| open + at + 1);
                let message = match other {
                    Some('*') => "`[*]` selects every element",
                    Some('?') => "a filter selects by the data",
                    Some('-' | ':' | '0'..='9') => "a slice or an index from the end depends on the data",
                    _ => "expected a quoted name, an index, `name=value` or `...` after `[`",
                };
                return Err(self.error(open..end, message, Some(SINGULAR)));
            }
        };
        self.at += 1;
        let mut name = String::new();
        loop {
            let start = self.at;
            let Some(next) = self.peek() else {
                return Err(self.error(open..self.text.len(), "the quoted name is not closed", None));
            };
            self.at += next.len_utf8();
            match next {
                _ if next == quote => break,
                '\\' => name.push(self.escape(start, quote)?),
                control if control < ' ' => return Err(self.error(start..self.at, "a control character", None)),
                other => name.push(other),
            }
        }
        match self.peek() {
            Some(']') => self.at += 1,
            Some(',') => return Err(self.error(open..self.at + 1, "`,` selects several members", Some(SINGULAR))),
            _ => return Err(self.error(open..self.at, "expected `]` after the name", None)),
        }
        if name.contains(['{', '}']) {
            return self.pattern(&name, open..self.at);
        }
        self.steps.push(Step::Name(name));
        Ok(())
    }

    fn escape(&mut self, start: usize, quote: char) -> Result<char, PlaceError> {
        let kind = self.peek();
        self.at += kind.map_or(0, char::len_utf8);
        let read = match kind {
            Some('b') => Some('\u{8}'),
            Some('f') => Some('\u{c}'),
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some('t') => Some('\t'),
            Some(same @ ('/' | '\\')) => Some(same),
            Some(same) if same == quote => Some(same),
            Some('u') => self.unicode(),
            _ => None,
        };
        read.ok_or_else(|| self.error(start..self.at, "not an escape of RFC 9535", None))
    }

    fn unicode(&mut self) -> Option<char> {
        let high = self.hex()?;
        if !(0xd800..0xdc00).contains(&high) {
            return char::from_u32(high);
        }
        let rest = self.text.get(self.at..)?.strip_prefix("\\u")?;
        self.at = self.text.len() - rest.len();
        let low = self.hex().filter(|low| (0xdc00..0xe000).contains(low))?;
        char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00))
    }

    fn hex(&mut self) -> Option<u32> {
        let digits =
            self.text.get(self.at..self.at + 4).filter(|four| four.bytes().all(|one| one.is_ascii_hexdigit()))?;
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }

    #[expect(clippy::unused_self, reason = "reads as one family with the parser's other steps")]
    fn error(&self, at: Range<usize>, message: &str, help: Option<&'static str>) -> PlaceError {
        PlaceError { at, message: message.to_owned(), help, over_limit: false }
    }
}

fn is_plain(one: char) -> bool {
    one.is_alphanumeric() || one == '_' || one == '-'
}

/// Writes member names as the shortest place that reads back as them.
pub(super) fn write(segments: &[String], out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let plain =
        |name: &String| !name.is_empty() && name.chars().all(is_plain) && !name.bytes().all(|one| one.is_ascii_digit());
    if segments.is_empty() {
        return out.write_str(".");
    }
    if !segments.first().is_some_and(plain) {
        out.write_str("$")?;
    }
    for (index, name) in segments.iter().enumerate() {
        if plain(name) {
            write!(out, "{}{name}", if index == 0 { "" } else { "." })?;
            continue;
        }
        out.write_str("['")?;
        for one in name.chars() {
            match one {
                '\'' | '\\' => write!(out, "\\{one}")?,
                // A single brace would begin a variable part.
                '{' | '}' => write!(out, "{one}{one}")?,
                control if control < ' ' => write!(out, "\\u{:04x}", u32::from(control))?,
                other => write!(out, "{other}")?,
            }
        }
        out.write_str("']")?;
    }
    Ok(())
}
