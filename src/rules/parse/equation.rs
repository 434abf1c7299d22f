//! `old = new`, `old = new + new`, `same`.

use std::ops::Range;

use super::Parser;
use crate::diagnostic::codes;
use crate::path::Place;
use crate::rules::yaml::Node;

/// Places joined on one side.
const MAX_JOINED: usize = 16;

impl Parser<'_> {
    /// The places on both sides of an equation's text.
    pub(super) fn equation(&mut self, node: &Node) -> Option<(Vec<Place>, Vec<Place>)> {
        let text = node.as_str()?;
        if let Some((at, message, help)) = habit(text) {
            self.diagnostics.error(codes::R9, node.part(at.start, at.end), message).help(help);
            return None;
        }
        let sides = split(text, 0..text.len(), '=');
        let (old, new) = match sides.as_slice() {
            [both] => (both.clone(), both.clone()),
            [old, new] => (old.clone(), new.clone()),
            [_, _, third, ..] => {
                let at = node.part(third.start.saturating_sub(1), third.start);
                self.diagnostics
                    .error(codes::R9, at, "a second `=` in one rule")
                    .help("a rule is `old = new`; several places are joined by `+`");
                return None;
            }
            [] => return None,
        };
        let once = old == new;
        let old = self.side(node, &old);
        let new = if once { old.clone() } else { self.side(node, &new) };
        Some((old?, new?))
    }

    fn side(&mut self, node: &Node, range: &Range<usize>) -> Option<Vec<Place>> {
        let text = node.as_str()?;
        let parts = split(text, range.clone(), '+');
        if parts.len() > MAX_JOINED {
            let at = node.part(range.start, range.end);
            self.diagnostics.error(codes::E15, at, format!("more than {MAX_JOINED} places joined on one side"));
            return None;
        }
        let mut sound = true;
        let places = parts
            .iter()
            .filter_map(|part| {
                let written = text.get(part.clone())?;
                let start = part.start + written.len() - written.trim_start().len();
                let end = (start + written.trim().len()).max(start);
                let place = self.place(node, start, end);
                sound &= place.is_some();
                place
            })
            .collect();
        sound.then_some(places)
    }
}

/// What is written as in other languages, where it is: the place, what is wrong, and how it is written here.
fn habit(text: &str) -> Option<(Range<usize>, &'static str, &'static str)> {
    for arrow in [" -> ", " <- ", " <-> ", " => ", " <=> "] {
        // Between places, not in the name of one.
        let bare = text.find(arrow).filter(|at| !text.get(..*at).is_some_and(|before| before.contains('[')));
        if let Some(at) = bare {
            let arrow = at + 1..at + arrow.len() - 1;
            return Some((arrow, "an arrow in a rule", "a rule is an equation, `old = new`: it is read both ways"));
        }
    }
    let colon = split(text, 0..text.len(), ':').first()?.end;
    text.get(colon..).is_some_and(|rest| rest == ":" || rest.starts_with(": ")).then(|| {
        let help = "close them before the colon, `\"old = new\": {…}`; most rules need no quotes";
        (colon..colon + 1, "a rule whose conversion stands inside its quotes", help)
    })
}

/// The parts of `text[range]` between separators that stand outside quotes and brackets.
fn split(text: &str, range: Range<usize>, separator: char) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut start = range.start;
    let (mut bracket, mut quote) = (false, None);
    let mut letters = text.get(range.clone()).unwrap_or_default().char_indices();
    while let Some((at, one)) = letters.next() {
        match (quote, one) {
            (Some(_), '\\') => drop(letters.next()),
            (Some(open), _) if one == open => quote = None,
            (None, '\'' | '"') if bracket => quote = Some(one),
            (None, '[') => bracket = true,
            (None, ']') => bracket = false,
            (None, _) if one == separator && !bracket => {
                parts.push(start..range.start + at);
                start = range.start + at + one.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(start..range.end);
    parts
}
