//! What stands around the lists of a document: the document itself with its lists emptied.

use super::super::engine;
use super::super::lens::Node;
use super::super::stencil::From;
use super::super::{Fault, FaultKind, Limits, Scratch, TypeId};
use super::Way;
use super::stage::at_offset;
use crate::json::unescape;

/// The part of a document that has arrived, its lists emptied.
#[derive(Debug, Default)]
pub(super) struct Skeleton {
    pub(super) text: Vec<u8>,
    /// The nodes of the objects that are open.
    pub(super) open: Vec<usize>,
    /// Where the name begins that was read last.
    name: usize,
    /// Behind which offsets the stream is ahead of the text, and by how many bytes.
    left_out: Vec<(usize, usize)>,
    /// What has been written of the translation.
    shown: Vec<u8>,
    /// Working memory: a translation of what has arrived.
    translated: Vec<u8>,
}

/// An empty list.
const EMPTY: &[u8] = b"[]";

impl Skeleton {
    /// Notes that a name begins.
    pub(super) fn name_begins(&mut self) {
        self.name = self.text.len();
    }

    /// The action of the member whose name was read last.
    pub(super) fn action(&self, node: &Node) -> Option<usize> {
        let end = self.text.iter().rposition(|byte| *byte == b'"')?;
        let literal = self.text.get(self.name..=end)?;
        node.keys.get(unescape(literal)?.as_bytes())
    }

    /// Translates what has arrived as if `slot`'s list were empty and everything ended behind it; appends to `out` what
    /// comes before the list. Answers whether that can be told.
    ///
    /// # Errors
    /// What is wrong with what has arrived, whatever follows.
    pub(super) fn show_until(
        &mut self,
        slot: usize,
        of: TypeId,
        way: &Way,
        (scratch, limits): (&mut Scratch, Limits),
        out: &mut Vec<u8>,
    ) -> Result<bool, Fault> {
        let length = self.text.len();
        self.text.extend_from_slice(EMPTY);
        self.text.extend(std::iter::repeat_n(b'}', self.open.len()));
        self.translated.clear();
        let text = &self.text;
        let done =
            engine::translate_noting(&way.lenses, of, way.direction, text, &mut self.translated, scratch, limits);
        self.text.truncate(length);
        match done {
            Ok(()) => {}
            // A member that is still to come may mend it.
            Err(fault) if matches!(fault.kind, FaultKind::Guard | FaultKind::Missing) => return Ok(false),
            Err(fault) => return Err(self.fault(fault)),
        }
        let is_list = |from: From| matches!(from, From::Slot(of) if of == slot);
        let Some(list) = scratch.copied.iter().find(|copy| is_list(copy.from)) else { return Ok(false) };
        let (start, end) = (list.out_start, list.out_end);
        if self.translated.get(start..end) != Some(EMPTY) || !self.translated.starts_with(&self.shown) {
            return Ok(false);
        }
        let Some(before) = self.translated.get(self.shown.len()..start) else { return Ok(false) };
        out.extend_from_slice(before);
        self.shown.clear();
        self.shown.extend_from_slice(self.translated.get(..end).unwrap_or_default());
        Ok(true)
    }

    /// Notes that a list of this many bytes went its own way.
    pub(super) fn list_ended(&mut self, length: usize) {
        self.text.extend_from_slice(EMPTY);
        let before = self.left_out.last().map_or(0, |(_, ahead)| *ahead);
        self.left_out.push((self.text.len(), before + length.saturating_sub(EMPTY.len())));
    }

    /// Translates the whole; appends what has not been written. `is_emptied`: a list of it went its own way, so what is
    /// here is the one-pass engine's, whoever translates the elements.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn show_rest(
        &mut self,
        of: TypeId,
        way: &Way,
        is_emptied: bool,
        (scratch, limits): (&mut Scratch, Limits),
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        self.translated.clear();
        let (text, translated) = (&self.text, &mut self.translated);
        let done = if is_emptied {
            engine::translate(&way.lenses, of, way.direction, text, translated, scratch, limits)
        } else {
            way.translate(of, text, translated, scratch, limits)
        };
        done.map_err(|fault| self.fault(fault))?;
        match self.translated.strip_prefix(self.shown.as_slice()) {
            Some(rest) => out.extend_from_slice(rest),
            None => return Err(Fault::guard("expected an object that can be translated while it arrives".into())),
        }
        Ok(())
    }

    /// A fault in the text, at its offset in the stream.
    fn fault(&self, fault: Fault) -> Fault {
        at_offset(fault, |offset| {
            let behind = self.left_out.iter().rev().find(|(end, _)| *end <= offset);
            offset + behind.map_or(0, |(_, ahead)| *ahead)
        })
    }
}
