//! The one pass: reads a document once, notes where everything is, and lets the writer copy.
//!
//! Members that no rule names become runs of bytes; members that a rule owns become slots. Nested documents (a type
//! inside a type, elements of a list) are translated as soon as they are read, into one of two side buffers that take
//! turns by nesting level, so that memory is bounded by the largest element and nothing is ever parsed twice.

use super::cut::Done;
use super::fault::Step;
use super::lay::MOST_LAID;
use super::lens::{Lens, Lenses, Nested};
use super::scratch::{Memory, Scratch};
use super::shape::Shape;
use super::stencil::Stencils;
use super::write::Writer;
use super::{Direction, Fault, FaultKind, Limits, TypeId};
use crate::codecs::Written;
use crate::json::{self, Scanner};

/// What a slot holds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Slot {
    /// The source has no such place.
    #[default]
    Absent,
    /// A range of the source.
    Source(u32, u32),
    /// A range of the side buffer of the nested level.
    Side(usize, usize),
}

/// A stretch of one source object, from behind a comma (or the brace) up to the next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) key_start: u32,
    /// Behind the name: the colon, in most texts.
    pub(super) key_end: u32,
    pub(super) value_start: u32,
    pub(super) value_end: u32,
    /// The action that owns the member; `RUN` for members that none does.
    pub(super) action: u32,
    /// The next item of the same object, in the arena of items.
    pub(super) next: u32,
}

pub(super) const RUN: u32 = u32::MAX;

impl Item {
    pub(super) const RUN: Self =
        Self { start: 0, end: 0, key_start: 0, key_end: 0, value_start: 0, value_end: 0, action: RUN, next: 0 };
}

pub(super) struct Engine<'e> {
    pub(super) text: &'e [u8],
    pub(super) lenses: &'e Lenses,
    pub(super) direction: Direction,
    pub(super) limits: Limits,
    pub(super) scanner: Scanner<'e>,
    pub(super) scratch: &'e mut Scratch,
    pub(super) shapes: Vec<Shape>,
    pub(super) stencils: Vec<Stencils>,
    /// How many stencils are being laid, within one another.
    pub(super) laid: usize,
    /// Whether what the outermost document copies is noted, whatever becomes of the notes.
    noting: bool,
    /// Bytes read in vain, under stencils that did not fit.
    pub(super) wasted: usize,
}

/// Translates one whole document, appending to `out`.
pub(super) fn translate(
    lenses: &Lenses,
    of: TypeId,
    direction: Direction,
    text: &[u8],
    out: &mut Vec<u8>,
    scratch: &mut Scratch,
    limits: Limits,
) -> Result<(), Fault> {
    let how = if scratch.in_full { How::InFull } else { How::Quickly };
    run(lenses, of, direction, text, out, scratch, limits, how)
}

/// The same, and notes in the scratch which stretches of `out`, counted from its own start, came from where.
pub(super) fn translate_noting(
    lenses: &Lenses,
    of: TypeId,
    direction: Direction,
    text: &[u8],
    out: &mut Vec<u8>,
    scratch: &mut Scratch,
    limits: Limits,
) -> Result<(), Fault> {
    run(lenses, of, direction, text, out, scratch, limits, How::Noting)
}

/// How a document is translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// By stencils where they fit.
    Quickly,
    /// Every object in full.
    InFull,
    /// In full, and noting what is copied.
    Noting,
}

#[expect(clippy::too_many_arguments, reason = "what a translation is of, and how it is to be done")]
fn run(
    lenses: &Lenses,
    of: TypeId,
    direction: Direction,
    text: &[u8],
    out: &mut Vec<u8>,
    scratch: &mut Scratch,
    limits: Limits,
    how: How,
) -> Result<(), Fault> {
    if u32::try_from(text.len()).is_err() {
        return Err(Fault::new(FaultKind::TooLarge, "the document is larger than 4 GiB"));
    }
    json::check_utf8(text)?;
    scratch.clear();
    // Level 0 writes into the first side buffer: lend it the caller's.
    let before = out.len();
    std::mem::swap(out, &mut scratch.side[0]);
    let known = scratch.memories.iter().position(|(id, _)| *id == lenses.id).unwrap_or_else(|| {
        let shapes = std::iter::repeat_with(Shape::default).take(lenses.nodes).collect();
        let stencils = std::iter::repeat_with(Stencils::default).take(lenses.by_type.len()).collect();
        scratch.memories.push((lenses.id, Memory { shapes, stencils }));
        scratch.memories.len() - 1
    });
    let Memory { shapes, stencils } =
        scratch.memories.get_mut(known).map(|(_, memory)| std::mem::take(memory)).unwrap_or_default();
    let scanner = Scanner::new(text, limits.depth);
    let laid = if how == How::Quickly { 0 } else { MOST_LAID };
    let noting = how == How::Noting;
    let mut engine =
        Engine { text, lenses, direction, limits, scanner, scratch, shapes, stencils, laid, noting, wasted: 0 };
    let result = engine.whole(of);
    let (shapes, stencils) = (engine.shapes, engine.stencils);
    if let Some((_, memory)) = scratch.memories.get_mut(known) {
        *memory = Memory { shapes, stencils };
    }
    std::mem::swap(out, &mut scratch.side[0]);
    let beside = scratch.side[1].len();
    scratch.trim();
    // In full, the limit may be met before this fault is: with what nested documents have come to by then, which stencils
    // write elsewhere.
    let is_near = out.len() + beside > limits.output;
    if how == How::Quickly && is_near && result.as_ref().is_err_and(|fault| fault.kind != FaultKind::TooLarge) {
        out.truncate(before);
        return run(lenses, of, direction, text, out, scratch, limits, How::InFull);
    }
    result.map_err(|mut fault| {
        out.truncate(before);
        scratch.dropped = 0;
        if fault.kind == FaultKind::TooLarge {
            // The limit is the whole document's: where it was reached says nothing.
            fault.place.clear();
        }
        *fault
    })
}

impl Engine<'_> {
    fn whole(&mut self, of: TypeId) -> Step<()> {
        self.scanner.skip_space();
        self.value(of, 0, 0)?;
        self.scanner.finish()?;
        Ok(())
    }

    #[inline]
    pub(super) fn buffer(&mut self, level: usize) -> &mut Vec<u8> {
        let [even, odd] = &mut self.scratch.side;
        if level.is_multiple_of(2) { even } else { odd }
    }

    /// Translates the value that is next as a document of a type: into the buffer of `level`.
    pub(super) fn value(&mut self, of: TypeId, level: usize, depth: usize) -> Step<()> {
        let lenses = self.lenses;
        let Some(lens) = lenses.by_type.get(of.0) else { return self.copy_value(level, depth) };
        if self.scanner.peek() != b'{' && lens.whole_source.is_none() {
            // Only objects have members: any other value passes as it is.
            return self.copy_value(level, depth);
        }
        if lens.whole_source.is_none() && self.lay(of.0, lens, level, depth) {
            return Ok(());
        }
        self.in_full(of, lens, level, depth)
    }

    /// Translates the value that is next without a stencil.
    fn in_full(&mut self, of: TypeId, lens: &Lens, level: usize, depth: usize) -> Step<()> {
        let start = self.scanner.at;
        let slots = self.scratch.slots.len();
        let items = self.scratch.items.len();
        let side = self.buffer(level + 1).len();
        let out = self.buffer(level).len();
        self.scratch.slots.resize(slots + lens.slots, Slot::Absent);

        if let Some((slot, nested)) = lens.whole_source {
            self.slot_value(slots + slot, nested, level, depth)?;
        } else {
            self.object(lens, 0, slots, level, depth)?;
        }
        self.prepare(lens, slots, level)?;
        let cuts = lens.whole_source.is_none()
            && self.laid < MOST_LAID
            && self.stencils.get_mut(of.0).is_some_and(Stencils::is_worth_cutting);
        self.write(lens, slots, items, level, cuts || (self.noting && level == 0))?;
        if cuts {
            self.cut(of.0, lens, &Done { start, out, slots, level, depth });
        }
        self.scratch.slots.truncate(slots);
        self.scratch.items.truncate(items);
        self.buffer(level + 1).truncate(side);
        Ok(())
    }

    fn copy_value(&mut self, level: usize, depth: usize) -> Step<()> {
        let start = self.scanner.at;
        self.scanner.skip_value(depth)?;
        let raw = self.text.get(start..self.scanner.at).unwrap_or_default();
        self.buffer(level).extend_from_slice(raw);
        Ok(())
    }

    /// Reads the value that is next into a slot; nested documents go to the buffer of the next level.
    pub(super) fn slot_value(&mut self, slot: usize, nested: Nested, level: usize, depth: usize) -> Step<()> {
        let start = self.scanner.at;
        let value = match (nested, self.scanner.peek()) {
            // A type may speak of lists as well.
            (Nested::As(of), b'{' | b'[') => {
                let side = self.buffer(level + 1).len();
                self.value(of, level + 1, depth)?;
                Slot::Side(side, self.buffer(level + 1).len())
            }
            (Nested::Each(of), b'[') => {
                let side = self.buffer(level + 1).len();
                self.list(of, level + 1, depth)?;
                Slot::Side(side, self.buffer(level + 1).len())
            }
            _ => {
                self.scanner.skip_value(depth)?;
                Slot::Source(offset(start), offset(self.scanner.at))
            }
        };
        if let Some(place) = self.scratch.slots.get_mut(slot) {
            *place = value;
        }
        Ok(())
    }

    /// Translates the list that is next, element by element, keeping the white space between them.
    pub(super) fn list(&mut self, of: TypeId, level: usize, depth: usize) -> Step<()> {
        self.scanner.check_depth(depth + 1)?;
        let mut start = self.scanner.at;
        self.scanner.at += 1;
        self.scanner.skip_space();
        if self.scanner.peek() != b']' {
            let mut index = 0_usize;
            loop {
                self.copy_since(start, level);
                self.value(of, level, depth + 1).map_err(|fault| within(fault, Some(&format!("[{index}]"))))?;
                self.check_size(level)?;
                start = self.scanner.at;
                self.scanner.skip_space();
                match self.scanner.peek() {
                    b',' => self.scanner.at += 1,
                    b']' => break,
                    _ => return Ok(self.scanner.expected("`,` or `]`")?),
                }
                self.scanner.skip_space();
                index += 1;
            }
        }
        self.scanner.at += 1;
        self.copy_since(start, level);
        Ok(())
    }

    fn copy_since(&mut self, start: usize, level: usize) {
        let raw = self.text.get(start..self.scanner.at).unwrap_or_default();
        self.buffer(level).extend_from_slice(raw);
    }

    fn check_size(&mut self, level: usize) -> Step<()> {
        if self.buffer(level).len() > self.limits.output {
            return Err(Box::new(Fault::new(FaultKind::TooLarge, "the translated document is larger than the limit")));
        }
        Ok(())
    }

    /// Runs the conversions between several places; their results go to the side buffer.
    fn prepare(&mut self, lens: &Lens, slots: usize, level: usize) -> Step<()> {
        for preparation in &lens.preparations {
            let mut inputs: [Option<&[u8]>; MAX_PLACES] = [None; MAX_PLACES];
            let mut outputs: [Written; MAX_PLACES] = [None; MAX_PLACES];
            for (input, slot) in inputs.iter_mut().zip(&preparation.inputs) {
                *input = match self.scratch.slots.get(slots + slot) {
                    Some(Slot::Source(start, end)) => self.text.get(*start as usize..*end as usize),
                    _ => None,
                };
            }
            let inputs = inputs.get(..preparation.inputs.len()).unwrap_or_default();
            if lens.partial {
                if inputs.iter().all(Option::is_none) {
                    continue;
                }
                if inputs.iter().any(Option::is_none) {
                    let name = preparation.inputs.first().and_then(|slot| lens.slot_names.get(*slot));
                    let guard =
                        "expected all fields that one rule joins, since a part of them says nothing of the rest";
                    return Err(within(Box::new(Fault::guard(guard.into())), name));
                }
            }
            let count = preparation.outputs.len().min(MAX_PLACES);
            let results = outputs.get_mut(..count).unwrap_or_default();
            let [even, odd] = &mut self.scratch.side;
            let side = if level.is_multiple_of(2) { odd } else { even };
            if let Err(guard) = preparation.codec.convert_many(self.direction, inputs, results, side) {
                let name = preparation.inputs.first().and_then(|slot| lens.slot_names.get(*slot));
                return Err(within(Box::new(Fault::guard(guard)), name));
            }
            for (output, slot) in outputs.iter().zip(&preparation.outputs) {
                if let (Some((start, end)), Some(place)) = (*output, self.scratch.slots.get_mut(slots + slot)) {
                    *place = Slot::Side(start, end);
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, lens: &Lens, slots: usize, items: usize, level: usize, notes: bool) -> Step<()> {
        let scratch = &mut *self.scratch;
        let [even, odd] = &mut scratch.side;
        let (out, side) = if level.is_multiple_of(2) { (even, odd) } else { (odd, even) };
        scratch.copied.clear();
        let mut writer = Writer {
            text: self.text,
            side,
            out,
            items: &scratch.items,
            slots: scratch.slots.get(slots..).unwrap_or_default(),
            direction: self.direction,
            lens,
            displaced: None,
            copied: notes.then_some(&mut scratch.copied),
        };
        writer.document(items)?;
        if let Some((node, key_start)) = writer.displaced {
            let name = lens.nodes.get(node).map_or("", |node| node.name.as_str());
            self.unplaced(name, key_start as usize)?;
        }
        self.check_size(level)
    }
}

/// The most places that one codec joins on one side.
pub(super) const MAX_PLACES: usize = 8;

/// The same fault seen from outside.
#[cold]
#[expect(clippy::boxed_local, clippy::unnecessary_box_returns, reason = "faults travel boxed, see `Step`")]
pub(super) fn within(fault: Box<Fault>, outer: Option<&String>) -> Box<Fault> {
    Box::new(fault.within(outer.map_or("", String::as_str)))
}

/// Offsets fit: documents over 4 GiB are refused at the door.
#[expect(clippy::cast_possible_truncation, reason = "the door")]
#[inline]
pub(super) fn offset(at: usize) -> u32 {
    at as u32
}
