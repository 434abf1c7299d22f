//! The words of a query, before its grammar: limits, exact numbers, and what the grammar is too lenient with.
//!
//! The grammar's crate reads numbers as floats, so every number literal becomes a `0` of the same width and its exact
//! value is handed on beside the text. It also skips white space where RFC 9535 allows none, inside and between words;
//! such texts end here.

use std::collections::VecDeque;
use std::ops::Range;

use super::{MAX_QUERY, MAX_QUERY_CALLS, MAX_QUERY_NESTING};
use crate::json::Decimal;
use crate::path::PlaceError;

/// The largest index (RFC 9535, 2.1): what a double holds exactly.
const MAX_INDEX: u64 = (1 << 53) - 1;

const FUNCTIONS: [&str; 5] = ["length", "count", "value", "match", "search"];

/// A text of which the grammar decides.
pub(super) struct Scanned {
    /// As long as the query's text: places are the same in both.
    pub(super) blanked: String,
    /// The number literals in order.
    pub(super) numbers: VecDeque<Decimal>,
    /// Where functions are called, in order of their names.
    pub(super) calls: VecDeque<Range<usize>>,
}

pub(super) fn scan(text: &str) -> Result<Scanned, PlaceError> {
    if text.len() > MAX_QUERY {
        return Err(limit(0..text.len(), format!("the query is longer than {MAX_QUERY} bytes")));
    }
    if !text.starts_with('$') {
        let first = text.chars().next().map_or(0, char::len_utf8);
        let help = "`$` is the document; write `$.name` or `$[?@.kind == 'a']`";
        return Err(error(0..first, "a query starts with `$`", Some(help)));
    }
    let mut scan = Scan {
        text,
        at: 0,
        blanked: String::with_capacity(text.len()),
        numbers: VecDeque::new(),
        calls: VecDeque::new(),
        open: Vec::new(),
        before: Before::Mark('$'),
    };
    while let Some(next) = scan.peek() {
        scan.word(next)?;
    }
    Ok(Scanned { blanked: scan.blanked, numbers: scan.numbers, calls: scan.calls })
}

/// The word before the one that is read.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    Name,
    Function,
    Number,
    Quoted,
    Mark(char),
}

struct Open {
    mark: char,
    /// Which call's parenthesis it is.
    call: Option<usize>,
}

struct Scan<'t> {
    text: &'t str,
    at: usize,
    blanked: String,
    numbers: VecDeque<Decimal>,
    calls: VecDeque<Range<usize>>,
    open: Vec<Open>,
    before: Before,
}

impl Scan<'_> {
    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn keep(&mut self, length: usize) {
        let end = self.at + length;
        self.blanked.push_str(self.text.get(self.at..end).unwrap_or_default());
        self.at = end;
    }

    fn word(&mut self, next: char) -> Result<(), PlaceError> {
        let before = match next {
            ' ' | '\t' | '\n' | '\r' => {
                if self.before == Before::Mark('.') {
                    return Err(error(self.at..self.at + 1, "no white space can follow `.`", None));
                }
                self.keep(1);
                return Ok(());
            }
            '\'' | '"' => self.quoted(next)?,
            '-' | '0'..='9' => self.number()?,
            '(' | '[' => self.open(next)?,
            ')' | ']' => self.close(next),
            name if is_name(name) => self.name()?,
            mark => {
                self.keep(mark.len_utf8());
                Before::Mark(mark)
            }
        };
        self.before = before;
        Ok(())
    }

    /// Its escapes are the grammar's business.
    fn quoted(&mut self, quote: char) -> Result<Before, PlaceError> {
        let mut escaped = false;
        for (at, one) in self.rest().char_indices().skip(1) {
            if one < ' ' {
                let at = self.at + at;
                let help = Some("write control characters as escapes: `\\n`, `\\u0000`");
                return Err(error(at..at + 1, "a control character in a quoted text", help));
            }
            if one == quote && !escaped {
                self.keep(at + 1);
                return Ok(Before::Quoted);
            }
            escaped = one == '\\' && !escaped;
        }
        Err(error(self.at..self.text.len(), "the quoted text is not closed", None))
    }

    fn number(&mut self) -> Result<Before, PlaceError> {
        let rest = self.rest();
        let length = rest.find(|one: char| !matches!(one, '0'..='9' | '.' | 'e' | 'E' | '+' | '-'));
        let written = rest.get(..length.unwrap_or(rest.len())).unwrap_or_default().to_owned();
        let at = self.at..self.at + written.len();
        let in_call = self.open.last().is_some_and(|open| open.mark == '(');
        match self.before {
            Before::Mark('?' | '=' | '<' | '>' | '&' | '|' | '!' | '(') => {}
            Before::Mark(',') if in_call => {}
            Before::Mark('[' | ',' | ':') => {
                let digits = written.strip_prefix('-').unwrap_or(&written);
                let plain =
                    (written == "0" || !digits.starts_with('0')) && digits.bytes().all(|one| one.is_ascii_digit());
                if !plain || !digits.parse().is_ok_and(|index: u64| index <= MAX_INDEX) {
                    let help = Some("no leading zeros, no `-0`, and at most 9007199254740991 either way");
                    return Err(error(at, "an index is a whole number", help));
                }
                self.keep(written.len());
                return Ok(Before::Number);
            }
            _ => return Err(misplaced(at, &written)),
        }
        let Some(number) = Decimal::parse(&written) else {
            let help = Some("as in JSON: `10`, `-0.5`, `1e3`; an exponent has at most 18 digits");
            return Err(error(at, &format!("`{written}` is not a number"), help));
        };
        self.numbers.push_back(number);
        self.blanked.push('0');
        self.blanked.extend(std::iter::repeat_n(' ', written.len() - 1));
        self.at = at.end;
        Ok(Before::Number)
    }

    fn name(&mut self) -> Result<Before, PlaceError> {
        let rest = self.rest();
        let length = rest.find(|one: char| !is_name(one) && !one.is_ascii_digit()).unwrap_or(rest.len());
        let (name, after) = rest.split_at_checked(length).unwrap_or_default();
        let at = self.at..self.at + length;
        if matches!(self.before, Before::Name | Before::Number | Before::Function) {
            return Err(misplaced(at, name));
        }
        if name.contains(char::is_whitespace) {
            let help = Some("write the name in brackets and quotes: `['odd name']`");
            return Err(error(at, "white space in a plain name", help));
        }
        let called = after.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('(');
        if !called || self.before == Before::Mark('.') {
            self.keep(length);
            return Ok(Before::Name);
        }
        if !FUNCTIONS.contains(&name) {
            let help = Some("RFC 9535 has `length`, `count`, `value`, `match` and `search`");
            return Err(error(at, &format!("there is no function `{name}`"), help));
        }
        if !after.starts_with('(') {
            return Err(error(at, &format!("no white space can stand between `{name}` and `(`"), None));
        }
        self.calls.push_back(at);
        self.keep(length);
        Ok(Before::Function)
    }

    fn open(&mut self, mark: char) -> Result<Before, PlaceError> {
        let call = (self.before == Before::Function).then(|| self.calls.len() - 1);
        self.open.push(Open { mark, call });
        let here = self.at..self.at + 1;
        if self.open.len() > MAX_QUERY_NESTING {
            return Err(limit(here, format!("brackets are more than {MAX_QUERY_NESTING} deep")));
        }
        if self.open.iter().filter(|open| open.call.is_some()).count() > MAX_QUERY_CALLS {
            return Err(limit(here, format!("calls are more than {MAX_QUERY_CALLS} deep")));
        }
        self.keep(1);
        Ok(Before::Mark(mark))
    }

    /// Whether it closes what was opened is the grammar's business.
    fn close(&mut self, mark: char) -> Before {
        self.keep(1);
        let call = self.open.pop().and_then(|open| open.call);
        if let Some(call) = call.and_then(|call| self.calls.get_mut(call)) {
            call.end = self.at;
        }
        Before::Mark(mark)
    }
}

fn is_name(one: char) -> bool {
    one.is_ascii_alphabetic() || one == '_' || !one.is_ascii()
}

fn misplaced(at: Range<usize>, word: &str) -> PlaceError {
    error(at, &format!("`{word}` cannot stand here"), None)
}

pub(super) fn error(at: Range<usize>, message: &str, help: Option<&'static str>) -> PlaceError {
    PlaceError { at, message: message.to_owned(), help, over_limit: false }
}

pub(super) fn limit(at: Range<usize>, message: String) -> PlaceError {
    PlaceError { at, message, help: None, over_limit: true }
}
