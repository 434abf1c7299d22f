//! A borrowed view of a document, for what needs more than one pass: writing back, schemas, laws, comparison.

use std::borrow::Cow;
use std::collections::HashSet;

use super::{Decimal, Error, ErrorKind, Scan, Scanner, check_utf8, unescape};

/// A value and the bytes it is written with.
#[derive(Debug, Clone)]
pub struct Tree<'a> {
    /// Exactly its bytes, without white space around.
    pub raw: &'a [u8],
    /// What it is.
    pub kind: TreeKind<'a>,
}

/// What a value is. Scalars are read from `raw` when asked for.
#[derive(Debug, Clone)]
pub enum TreeKind<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// Its text is `raw`.
    Number,
    /// Its quoted text is `raw`.
    String,
    /// Elements in order.
    Array(Vec<Tree<'a>>),
    /// Members in order, names unescaped, no name twice.
    Object(Vec<(Cow<'a, str>, Tree<'a>)>),
}

impl<'a> Tree<'a> {
    /// Reads one whole document.
    ///
    /// # Errors
    /// Anything that is not JSON in UTF-8, nests deeper than `depth`, or names a member twice in one object.
    pub fn parse(text: &'a [u8], depth: usize) -> Result<Self, Error> {
        Self::parse_within(text, depth, usize::MAX)
    }

    /// Reads one whole document of at most `nodes` values: each takes many times the memory of its shortest text.
    ///
    /// # Errors
    /// Those of [`Tree::parse`], and [`ErrorKind::Nodes`].
    pub fn parse_within(text: &'a [u8], depth: usize, nodes: usize) -> Result<Self, Error> {
        check_utf8(text)?;
        let mut scanner = Scanner::new(text, depth);
        scanner.skip_space();
        let mut left = nodes;
        let tree = read_value(text, &mut scanner, 0, &mut left)?;
        scanner.finish()?;
        Ok(tree)
    }

    /// A member of an object.
    pub fn get(&self, name: &str) -> Option<&Tree<'a>> {
        self.members().iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The value at a singular path of member names.
    pub fn at<'t>(&'t self, path: &[String]) -> Option<&'t Tree<'a>> {
        path.iter().try_fold(self, |tree, name| tree.get(name))
    }

    /// An object's members; none where it is not an object.
    pub fn members(&self) -> &[(Cow<'a, str>, Tree<'a>)] {
        match &self.kind {
            TreeKind::Object(members) => members,
            _ => &[],
        }
    }

    /// An array's elements.
    pub fn elements(&self) -> Option<&[Tree<'a>]> {
        match &self.kind {
            TreeKind::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// Whether it is an object.
    pub fn is_object(&self) -> bool {
        matches!(self.kind, TreeKind::Object(_))
    }

    /// A string's value.
    pub fn text(&self) -> Option<Cow<'a, str>> {
        match self.kind {
            TreeKind::String => unescape(self.raw),
            _ => None,
        }
    }

    /// What a path, a query or a part of a text shows of a string, a number or a boolean; a number as it is spelled.
    pub(crate) fn scalar_text(&self) -> Option<Cow<'a, str>> {
        match self.kind {
            TreeKind::String => self.text(),
            TreeKind::Number | TreeKind::Bool(_) => std::str::from_utf8(self.raw).ok().map(Cow::Borrowed),
            TreeKind::Null | TreeKind::Array(_) | TreeKind::Object(_) => None,
        }
    }

    /// A number's exact value. `None` where it is not a number, or one whose exponent is beyond 18 digits.
    pub fn number(&self) -> Option<Decimal> {
        match self.kind {
            TreeKind::Number => std::str::from_utf8(self.raw).ok().and_then(Decimal::parse),
            _ => None,
        }
    }

    /// Equal as values: member order does not matter, numbers compare exactly by value, strings by their text.
    pub fn same(&self, other: &Tree<'_>) -> bool {
        match (&self.kind, &other.kind) {
            (TreeKind::Null, TreeKind::Null) => true,
            (TreeKind::Bool(a), TreeKind::Bool(b)) => a == b,
            (TreeKind::Number, TreeKind::Number) => {
                self.raw == other.raw
                    || match (self.number(), other.number()) {
                        (Some(a), Some(b)) => a == b,
                        _ => false,
                    }
            }
            (TreeKind::String, TreeKind::String) => self.raw == other.raw || self.text() == other.text(),
            (TreeKind::Array(a), TreeKind::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b)),
            (TreeKind::Object(a), TreeKind::Object(b)) => {
                a.len() == b.len()
                    && a.iter().zip(b).all(|((name, value), beside)| {
                        // Members mostly stand in the same order: look beside first.
                        if *name == beside.0 {
                            value.same(&beside.1)
                        } else {
                            other.get(name).is_some_and(|found| value.same(found))
                        }
                    })
            }
            _ => false,
        }
    }
}

/// Reads the value whose first byte is next. Recursion is bounded by the scanner's depth limit.
fn read_value<'a>(text: &'a [u8], scanner: &mut Scanner<'a>, depth: usize, left: &mut usize) -> Scan<Tree<'a>> {
    let start = scanner.at;
    let Some(fewer) = left.checked_sub(1) else { return scanner.fail(ErrorKind::Nodes, start) };
    *left = fewer;
    let kind = match scanner.peek() {
        b'{' => {
            scanner.check_depth(depth + 1)?;
            scanner.at += 1;
            TreeKind::Object(read_members(text, scanner, depth + 1, left)?)
        }
        b'[' => {
            scanner.check_depth(depth + 1)?;
            scanner.at += 1;
            TreeKind::Array(read_elements(text, scanner, depth + 1, left)?)
        }
        first => {
            scanner.skip_value(depth)?;
            match first {
                b'"' => TreeKind::String,
                b't' => TreeKind::Bool(true),
                b'f' => TreeKind::Bool(false),
                b'n' => TreeKind::Null,
                _ => TreeKind::Number,
            }
        }
    };
    Ok(Tree { raw: text.get(start..scanner.at).unwrap_or_default(), kind })
}

fn read_elements<'a>(text: &'a [u8], scanner: &mut Scanner<'a>, depth: usize, left: &mut usize) -> Scan<Vec<Tree<'a>>> {
    let mut elements = Vec::new();
    scanner.skip_space();
    if scanner.peek() == b']' {
        scanner.at += 1;
        return Ok(elements);
    }
    loop {
        elements.push(read_value(text, scanner, depth, left)?);
        scanner.skip_space();
        match scanner.peek() {
            b',' => scanner.at += 1,
            b']' => {
                scanner.at += 1;
                return Ok(elements);
            }
            _ => return scanner.expected("`,` or `]`"),
        }
        scanner.skip_space();
    }
}

type Members<'a> = Vec<(Cow<'a, str>, Tree<'a>)>;

fn read_members<'a>(text: &'a [u8], scanner: &mut Scanner<'a>, depth: usize, left: &mut usize) -> Scan<Members<'a>> {
    let mut members: Members<'a> = Vec::new();
    let mut names = HashSet::new();
    scanner.skip_space();
    if scanner.peek() == b'}' {
        scanner.at += 1;
        return Ok(members);
    }
    loop {
        let key = scanner.at;
        if scanner.peek() != b'"' {
            return scanner.expected("a member name in quotes");
        }
        scanner.skip_string()?;
        let Some(name) = unescape(text.get(key..scanner.at).unwrap_or_default()) else {
            return scanner.expected("a member name");
        };
        if !names.insert(name.clone()) {
            return scanner.fail(ErrorKind::DuplicateKey, key);
        }
        scanner.skip_colon()?;
        members.push((name, read_value(text, scanner, depth, left)?));
        scanner.skip_space();
        match scanner.peek() {
            b',' => scanner.at += 1,
            b'}' => {
                scanner.at += 1;
                return Ok(members);
            }
            _ => return scanner.expected("`,` or `}`"),
        }
        scanner.skip_space();
    }
}
