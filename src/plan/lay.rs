//! Laying a stencil on an object: reading and writing what has the same shape as the object it was cut from.

use super::Direction;
use super::engine::{Engine, MAX_PLACES, offset};
use super::lens::{Lens, Nested, Source};
use super::stencil::{MOST_HOLES, Range, Ranges, Stencil, TEXT, What};
use crate::codecs::Written;
use crate::json::{plain_string_end, simple_end};

/// Stencils laid within one another. Deeper documents are translated in full: what does not fit is read again from its
/// start, and this bounds how often.
pub(super) const MOST_LAID: usize = 4;

impl Engine<'_> {
    /// Translates the object that is next by the stencil of its lens into the buffer of `level`; answers whether it did.
    /// If not, nothing has happened.
    pub(super) fn lay(&mut self, of: usize, lens: &Lens, level: usize, depth: usize) -> bool {
        // What was read in vain may never come to more than the document.
        if self.laid >= MOST_LAID || self.wasted > self.text.len() {
            return false;
        }
        let Some(stencils) = self.stencils.get_mut(of) else { return false };
        let Some(stencil) = stencils.kept.take() else { return false };
        stencils.lent = true;
        let fits = self.try_stencil(&stencil, lens, level, depth);
        if let Some(stencils) = self.stencils.get_mut(of) {
            stencils.kept = Some(stencil);
            stencils.lent = false;
            if fits {
                stencils.misses = 0;
            }
        }
        fits
    }

    /// Tries one stencil; where it does not fit, everything is as it was.
    pub(super) fn try_stencil(&mut self, stencil: &Stencil, lens: &Lens, level: usize, depth: usize) -> bool {
        let Some(room) = self.scratch.rooms.get_mut(self.laid) else { return false };
        let mut room = room.take().unwrap_or_default();
        let start = self.scanner.at;
        let (out, side) = (self.buffer(level).len(), self.buffer(level + 1).len());
        let dropped = self.scratch.dropped;
        self.laid += 1;
        let fits = self.fill(stencil, lens, level, depth, &mut room).is_some();
        self.laid -= 1;
        if let Some(place) = self.scratch.rooms.get_mut(self.laid) {
            *place = Some(room);
        }
        self.buffer(level + 1).truncate(side);
        if !fits {
            self.wasted += self.scanner.at - start;
            self.scanner.at = start;
            self.buffer(level).truncate(out);
            self.scratch.dropped = dropped;
        }
        fits
    }

    /// Reads the values and writes the target; nothing where something does not fit.
    fn fill(&mut self, stencil: &Stencil, lens: &Lens, level: usize, depth: usize, room: &mut Room) -> Option<()> {
        if !self.scanner.allows(depth + stencil.levels) {
            return None;
        }
        room.prepared.resize(stencil.prepared, Range::default());
        room.translated = 0;
        let mut done = 0;
        let text = self.text;
        let mut at = self.scanner.at;
        for (index, hole) in stencil.holes.iter().enumerate() {
            let start = hole.before.behind(text, at)?;
            // Most values are strings, and most of those are plain.
            let plain = if text.get(start) == Some(&b'"') { plain_string_end(text, start) } else { None };
            let range = if let Some(end) = plain.or_else(|| simple_end(text, start)) {
                at = end;
                Range { start: offset(start), end: offset(at) }
            } else {
                let range = self.other(stencil, lens, (level, depth), (index, start), room, &mut done)?;
                at = self.scanner.at;
                range
            };
            *room.ranges.get_mut(index)? = range;
        }
        self.scanner.at = stencil.end.behind(text, at)?;
        self.run(stencil, lens, level, room, done, stencil.ops.len())?;
        (self.buffer(level).len() <= self.limits.output).then_some(())
    }

    /// Reads a value that is not a simple one.
    #[inline(never)]
    fn other(
        &mut self,
        stencil: &Stencil,
        lens: &Lens,
        (level, depth): (usize, usize),
        (index, start): (usize, usize),
        room: &mut Room,
        done: &mut usize,
    ) -> Option<Range> {
        let hole = stencil.holes.get(index)?;
        let depth = depth + hole.level;
        self.scanner.at = start;
        match (hole.nested, self.scanner.peek()) {
            (Nested::As(_), b'{' | b'[') | (Nested::Each(_), b'[') => {
                self.nested(stencil, lens, (level, depth), index, room, done)
            }
            _ => {
                self.scanner.skip_any_value(depth).ok()?;
                Some(Range { start: offset(start), end: offset(self.scanner.at) })
            }
        }
    }

    /// Translates a nested document or list: into place if that is possible, else to the buffer of the next level.
    fn nested(
        &mut self,
        stencil: &Stencil,
        lens: &Lens,
        (level, depth): (usize, usize),
        index: usize,
        room: &mut Room,
        done: &mut usize,
    ) -> Option<Range> {
        let hole = stencil.holes.get(index)?;
        let into = if let Some(place) = hole.in_place {
            self.run(stencil, lens, level, room, *done, place)?;
            let op = stencil.ops.get(place)?;
            put_text(self.buffer(level), &op.text, op.length);
            *done = place + 1;
            level
        } else {
            room.translated |= 1 << (index % MOST_HOLES);
            level + 1
        };
        let start = self.buffer(into).len();
        match hole.nested {
            Nested::As(of) => self.value(of, into, depth).ok()?,
            Nested::Each(of) => self.list(of, into, depth).ok()?,
            Nested::No => return None,
        }
        let end = self.buffer(into).len();
        Some(Range { start: u32::try_from(start).ok()?, end: u32::try_from(end).ok()? })
    }

    /// Runs the ops from one up to another.
    fn run(
        &mut self,
        stencil: &Stencil,
        lens: &Lens,
        level: usize,
        room: &mut Room,
        from: usize,
        to: usize,
    ) -> Option<()> {
        let [even, odd] = &mut self.scratch.side;
        let (out, side) = if level.is_multiple_of(2) { (even, odd) } else { (odd, even) };
        let (text, direction) = (self.text, self.direction);
        for op in stencil.ops.get(from..to)? {
            put_text(out, &op.text, op.length);
            match op.what {
                What::Run { first, last } => put(out, text, room.range(first).start, room.range(last).end)?,
                What::Convert { hole, node, write } => {
                    let range = room.range(hole);
                    let value = text.get(range.start as usize..range.end as usize)?;
                    let source = match lens.nodes.get(node as usize) {
                        Some(node) => &node.writes.get(write as usize)?.source,
                        None => lens.whole_target.as_ref()?,
                    };
                    let Source::Slot { codec, .. } = source else { return None };
                    if !codec.convert(direction, Some(value), out).ok()? {
                        return None;
                    }
                }
                What::Text => {}
                What::Nested { hole } => {
                    let translated = room.translated & (1 << (hole as usize % MOST_HOLES)) != 0;
                    let range = room.range(hole);
                    put(out, if translated { side } else { text }, range.start, range.end)?;
                }
                What::Prepare { index } => prepare(stencil, lens, direction, text, index, room, side)?,
                What::Prepared { output } => {
                    let range = room.prepared.get(output as usize)?;
                    put(out, side, range.start, range.end)?;
                }
            }
        }
        Some(())
    }
}

/// Runs one of the conversions between several places; their results go to the side buffer.
#[inline(never)]
fn prepare(
    stencil: &Stencil,
    lens: &Lens,
    direction: Direction,
    text: &[u8],
    index: u32,
    room: &mut Room,
    side: &mut Vec<u8>,
) -> Option<()> {
    let preparing = stencil.preparing.get(index as usize)?;
    let codec = &lens.preparations.get(preparing.index)?.codec;
    let mut inputs: [Option<&[u8]>; MAX_PLACES] = [None; MAX_PLACES];
    let mut outputs: [Written; MAX_PLACES] = [None; MAX_PLACES];
    for (input, hole) in inputs.iter_mut().zip(&preparing.inputs) {
        if let Some(range) = hole.map(|hole| room.range(hole)) {
            *input = Some(text.get(range.start as usize..range.end as usize)?);
        }
    }
    let inputs = inputs.get(..preparing.inputs.len())?;
    let written = outputs.get_mut(..preparing.outputs.len())?;
    codec.convert_many(direction, inputs, written, side).ok()?;
    for (written, output) in written.iter().zip(&preparing.outputs) {
        match (written, output) {
            (None, None) => {}
            (Some((start, end)), Some(output)) => {
                *room.prepared.get_mut(*output as usize)? =
                    Range { start: u32::try_from(*start).ok()?, end: u32::try_from(*end).ok()? };
            }
            // It gives other places than when the stencil was cut.
            _ => return None,
        }
    }
    Some(())
}

/// Where everything is while one stencil is laid.
#[derive(Debug)]
pub(super) struct Room {
    ranges: Ranges,
    /// Results of conversions between several places, in the buffer of the next level.
    prepared: Vec<Range>,
    /// A bit for each value that was translated into the buffer of the next level.
    translated: u64,
}

impl Default for Room {
    fn default() -> Self {
        Self { ranges: [Range::default(); MOST_HOLES], prepared: Vec::new(), translated: 0 }
    }
}

impl Room {
    #[inline]
    fn range(&self, hole: u32) -> Range {
        self.ranges.get(hole as usize % MOST_HOLES).copied().unwrap_or_default()
    }
}

/// Appends the first `length` bytes.
#[inline]
fn put_text(out: &mut Vec<u8>, text: &[u8; TEXT], length: u32) {
    let behind = out.len() + length as usize;
    out.extend_from_slice(text);
    out.truncate(behind);
}

/// Appends a range of a text. Short ones are copied with what follows them, so that the length of the copy is fixed, and
/// cut.
#[inline]
fn put(out: &mut Vec<u8>, text: &[u8], start: u32, end: u32) -> Option<()> {
    let (start, end) = (start as usize, end as usize);
    let length = end.wrapping_sub(start);
    if length <= TEXT
        && let Some(chunk) = text.get(start..).and_then(|rest| rest.first_chunk::<TEXT>())
    {
        let behind = out.len() + length;
        out.extend_from_slice(chunk);
        out.truncate(behind);
        return Some(());
    }
    out.extend_from_slice(text.get(start..end)?);
    Some(())
}
