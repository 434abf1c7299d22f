//! Patterns of `match()` and `search()`: I-Regexp (RFC 9485), run in linear time.
//!
//! Translated word by word, as RFC 9485 (5.4) does for other engines: what is not I-Regexp is refused even where the
//! engine would read something into it. Outside of brackets `^` and `$` anchor, as in every engine's mapping.

use std::iter::Peekable;
use std::str::Chars;

use regex::{Regex, RegexBuilder};

/// Bytes of the program of a pattern that the query holds.
pub(super) const WRITTEN: usize = 1 << 20;

/// Bytes of the program of a pattern that a document holds.
pub(super) const FOUND: usize = 128 << 10;

/// Groups inside each other.
const NESTING: usize = 16;

/// How much one repetition counts that has no upper end.
const ENDLESS: u64 = 2;

#[derive(Debug, Clone)]
pub(super) struct Pattern {
    regex: Regex,
    /// About how many states the engine may have to follow at once, counted in characters.
    weight: u64,
}

/// Why a text is no pattern.
#[derive(Debug)]
pub(super) enum Unfit {
    /// Not I-Regexp.
    Syntax,
    /// More than is compiled.
    Size,
}

impl Pattern {
    /// `whole`: all of a text must match.
    pub(super) fn compile(text: &str, whole: bool, size: usize) -> Result<Self, Unfit> {
        let mut translation = Translation { rest: text.chars().peekable(), out: String::new(), too_deep: false };
        let read = translation.alternatives(0);
        if translation.too_deep {
            return Err(Unfit::Size);
        }
        let weight = read.ok_or(Unfit::Syntax)?;
        if translation.rest.next().is_some() {
            return Err(Unfit::Syntax);
        }
        let inner = translation.out;
        let built = RegexBuilder::new(&if whole { format!("^(?:{inner})$") } else { inner })
            .size_limit(size)
            .dfa_size_limit(size.saturating_mul(4))
            .build();
        match built {
            Ok(regex) => Ok(Self { regex, weight }),
            Err(regex::Error::CompiledTooBig(_)) => Err(Unfit::Size),
            Err(_) => Err(Unfit::Syntax),
        }
    }

    /// Steps that a text of so many bytes costs at most.
    pub(super) fn cost(&self, bytes: usize) -> u64 {
        1 + self.weight.saturating_mul(u64::try_from(bytes).unwrap_or(u64::MAX)) / 64
    }

    pub(super) fn fits(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

/// Reads I-Regexp, writes the engine's syntax. Every method gives the weight of what it read, or `None` at a mistake.
struct Translation<'t> {
    rest: Peekable<Chars<'t>>,
    out: String,
    /// A mistake of size, not of syntax.
    too_deep: bool,
}

impl Translation<'_> {
    fn take(&mut self, wanted: char) -> bool {
        self.rest.next_if_eq(&wanted).is_some()
    }

    fn alternatives(&mut self, depth: usize) -> Option<u64> {
        if depth > NESTING {
            self.too_deep = true;
            return None;
        }
        let mut weight: u64 = 1;
        while let Some(&next) = self.rest.peek() {
            match next {
                ')' => break,
                '|' => {
                    self.rest.next();
                    self.out.push('|');
                }
                _ => {
                    let atom = self.atom(depth)?;
                    weight = weight.saturating_add(atom.saturating_mul(self.quantifier()?));
                }
            }
        }
        Some(weight)
    }

    fn atom(&mut self, depth: usize) -> Option<u64> {
        match self.rest.next()? {
            '(' => {
                self.out.push_str("(?:");
                let weight = self.alternatives(depth + 1)?;
                self.out.push(')');
                self.take(')').then_some(weight)
            }
            '[' => self.class(),
            '.' => {
                self.out.push_str(r"[^\n\r]");
                Some(4)
            }
            '\\' => {
                if matches!(self.rest.peek(), Some('p' | 'P')) {
                    return self.category();
                }
                let one = self.escape()?;
                self.literal(one);
                Some(1)
            }
            anchor @ ('^' | '$') => {
                self.out.push(anchor);
                Some(1)
            }
            '*' | '+' | '?' | '{' | '}' | ']' => None,
            one => {
                self.literal(one);
                Some(1)
            }
        }
    }

    /// How often the atom before it counts.
    fn quantifier(&mut self) -> Option<u64> {
        let Some(sign) = self.rest.next_if(|one| matches!(one, '*' | '+' | '?' | '{')) else {
            return Some(1);
        };
        self.out.push(sign);
        if sign != '{' {
            return Some(if sign == '?' { 1 } else { ENDLESS });
        }
        let least = self.digits()?;
        let most = if self.take(',') {
            self.out.push(',');
            if self.rest.peek() == Some(&'}') { least.saturating_add(ENDLESS) } else { self.digits()? }
        } else {
            least
        };
        self.out.push('}');
        (self.take('}') && least <= most).then_some(most.max(1))
    }

    fn digits(&mut self) -> Option<u64> {
        let mut digits = String::new();
        while let Some(digit) = self.rest.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        self.out.push_str(&digits);
        digits.parse().ok()
    }

    /// After `[`.
    fn class(&mut self) -> Option<u64> {
        self.out.push('[');
        if self.take('^') {
            self.out.push('^');
        }
        let mut weight: u64 = 3;
        let mut first = true;
        loop {
            match self.rest.next()? {
                ']' => {
                    self.out.push(']');
                    return (!first).then_some(weight);
                }
                '-' => {
                    self.literal('-');
                    // Only the first or the last of its class.
                    if !first && self.rest.peek() != Some(&']') {
                        return None;
                    }
                }
                '\\' if matches!(self.rest.peek(), Some('p' | 'P')) => weight += self.category()?,
                one => self.range(one)?,
            }
            first = false;
        }
    }

    /// A character of a class, or from one to another.
    fn range(&mut self, first: char) -> Option<()> {
        let first = self.class_char(first)?;
        self.literal(first);
        let mut ahead = self.rest.clone();
        if ahead.next() != Some('-') || ahead.peek() == Some(&']') {
            return Some(());
        }
        self.rest = ahead;
        let last = self.rest.next()?;
        let last = self.class_char(last)?;
        self.out.push('-');
        self.literal(last);
        (first <= last).then_some(())
    }

    fn class_char(&mut self, one: char) -> Option<char> {
        match one {
            '\\' => self.escape(),
            '-' | '[' | ']' => None,
            other => Some(other),
        }
    }

    /// After `\`.
    fn escape(&mut self) -> Option<char> {
        match self.rest.next()? {
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            one @ ('('..='+' | '-' | '.' | '?' | '['..='^' | '{'..='}') => Some(one),
            _ => None,
        }
    }

    /// `p{Lu}` after `\`.
    fn category(&mut self) -> Option<u64> {
        let kind = self.rest.next()?;
        let mut name = String::new();
        if !self.take('{') {
            return None;
        }
        while let Some(letter) = self.rest.next_if(char::is_ascii_alphabetic) {
            name.push(letter);
        }
        let mut letters = name.chars();
        let minor = match letters.next()? {
            'L' => "ultmo",
            'M' => "nce",
            'N' => "dlo",
            'P' => "cdseifo",
            'Z' => "slp",
            'S' => "mcko",
            'C' => "cfon",
            _ => return None,
        };
        let known = letters.next().is_none_or(|letter| minor.contains(letter)) && letters.next().is_none();
        self.out.extend(['\\', kind, '{']);
        self.out.push_str(&name);
        self.out.push('}');
        (self.take('}') && known).then_some(8)
    }

    /// Escaped wherever the engine could read more into it, `&&` and `~~` in brackets included.
    fn literal(&mut self, one: char) {
        let mut buffer = [0; 4];
        self.out.push_str(&regex::escape(one.encode_utf8(&mut buffer)));
    }
}
