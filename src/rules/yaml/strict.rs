//! JSON, read without YAML's grammar: most interfaces are JSON, and some are very long.

use std::collections::HashSet;

use super::{Kind, Limits, Node};
use crate::diagnostic::{SourceId, Span};
use crate::json::{Scanner, unescape};

/// Maps with more members look for one that is there twice by hash.
const FEW: usize = 8;

/// The tree of a JSON object or list, the same that [`super::parse`] makes of it as YAML. `base` is where the text begins in
/// its file.
///
/// None: the text is something else, or something is wrong with it, or it is beyond the limits. What that is, the
/// YAML reader says.
pub(super) fn read(source: SourceId, text: &str, base: usize, limits: Limits) -> Option<Node> {
    let scanner = Scanner::new(text.as_bytes(), limits.depth);
    let mut reader = Reader { source, text, base, left: limits.nodes, scanner };
    if !matches!(reader.scanner.next(), b'{' | b'[') {
        return None;
    }
    let root = reader.value(0)?;
    reader.scanner.skip_space();
    reader.scanner.at_end().then_some(root)
}

struct Reader<'t> {
    source: SourceId,
    text: &'t str,
    base: usize,
    /// Values that may still come.
    left: usize,
    scanner: Scanner<'t>,
}

impl Reader<'_> {
    /// A value, which `depth` collections are around.
    fn value(&mut self, depth: usize) -> Option<Node> {
        match self.scanner.next() {
            b'{' => self.collection(depth + 1, b'}', Self::map),
            b'[' => self.collection(depth + 1, b']', Self::list),
            b'"' => self.string(),
            _ => self.plain(depth),
        }
    }

    fn collection(&mut self, depth: usize, close: u8, items: fn(&mut Self, usize) -> Option<Kind>) -> Option<Node> {
        let start = self.scanner.at;
        self.scanner.check_depth(depth).ok()?;
        self.spend(1)?;
        self.scanner.at += 1;
        let kind = if self.scanner.next() == close {
            if close == b'}' { Kind::Map(Vec::new()) } else { Kind::List(Vec::new()) }
        } else {
            items(self, depth)?
        };
        self.take(close)?;
        Some(Node { span: self.span(start)?, kind })
    }

    fn map(&mut self, depth: usize) -> Option<Kind> {
        let mut members = Vec::new();
        loop {
            if self.scanner.next() != b'"' {
                return None;
            }
            let key = self.string()?;
            self.take(b':')?;
            members.push((key, self.value(depth)?));
            if self.take(b',').is_none() {
                return (!has_twice(&members)).then_some(Kind::Map(members));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Option<Kind> {
        let mut elements = Vec::new();
        loop {
            elements.push(self.value(depth)?);
            if self.take(b',').is_none() {
                return Some(Kind::List(elements));
            }
        }
    }

    fn string(&mut self) -> Option<Node> {
        let start = self.scanner.at;
        self.scanner.skip_string().ok()?;
        let text = unescape(self.text.get(start..self.scanner.at)?.as_bytes())?.into_owned();
        self.scalar(start, text, false)
    }

    fn plain(&mut self, depth: usize) -> Option<Node> {
        let start = self.scanner.at;
        self.scanner.skip_any_value(depth).ok()?;
        let text = self.text.get(start..self.scanner.at)?.to_owned();
        self.scalar(start, text, true)
    }

    fn scalar(&mut self, start: usize, text: String, plain: bool) -> Option<Node> {
        self.spend(1 + text.len() / 64)?;
        Some(Node { span: self.span(start)?, kind: Kind::Scalar { text, plain } })
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.scanner.next() == byte).then(|| self.scanner.at += 1)
    }

    fn spend(&mut self, nodes: usize) -> Option<()> {
        self.left = self.left.checked_sub(nodes)?;
        Some(())
    }

    /// From there to what has been read.
    fn span(&self, start: usize) -> Option<Span> {
        let at = |offset: usize| u32::try_from(offset + self.base).ok();
        Some(Span { source: self.source, start: at(start)?, end: at(self.scanner.at)? })
    }
}

fn has_twice(members: &[(Node, Node)]) -> bool {
    let keys = || members.iter().filter_map(|(key, _)| key.as_str());
    if members.len() > FEW {
        let mut met = HashSet::with_capacity(members.len());
        return !keys().all(|key| met.insert(key));
    }
    keys().enumerate().any(|(index, key)| keys().take(index).any(|before| before == key))
}
