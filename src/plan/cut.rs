//! Cutting a stencil from an object that has just been translated in full.
//!
//! What the writer decided rests on the object's text without its values, but for a few things that make an object
//! unfit: a member that was refused a place, or a value that stands where rules expect an object. So what it wrote holds
//! for every object of the same shape, once the copies of values (noted as [`Copied`] while it wrote) are told from the
//! texts around them. The result is tried on the very object before it is kept.

use super::engine::{Engine, Slot, offset};
use super::keys::plain_name;
use super::lens::{ActionKind, Lens, Nested, Node, Source};
use super::stencil::{Copied, From, Hole, MOST_HOLES, Op, Preparing, Stencil, Stretch, TEXT, What};
use crate::json::Scanner;

/// The most text that a stencil holds.
const MOST_TEXT: usize = 8 << 10;

impl Engine<'_> {
    /// Cuts a stencil from an object that was just read and written.
    #[cold]
    pub(super) fn cut(&mut self, of: usize, lens: &Lens, object: &Done) {
        let copied = std::mem::take(&mut self.scratch.copied);
        let end = self.scanner.at;
        let written = self.buffer(object.level).get(object.out..).unwrap_or_default().to_vec();
        let slots = self.scratch.slots.get(object.slots..).unwrap_or_default();
        let stencil = Cut::skeleton(self.text, object.start, end, lens)
            .and_then(|cut| cut.finish(lens, slots, &copied, &written, object.out));
        self.scratch.copied = copied;
        let Some(stencil) = stencil else { return };
        if let Some(stencils) = self.stencils.get_mut(of) {
            stencils.lent = true;
        }
        self.scanner.at = object.start;
        let (out, dropped) = (self.buffer(object.level).len(), self.scratch.dropped);
        let fits = self.try_stencil(&stencil, lens, object.level, object.depth);
        let is_same = fits && self.scanner.at == end && self.buffer(object.level).get(out..) == Some(&written);
        self.scanner.at = end;
        self.buffer(object.level).truncate(out);
        self.scratch.dropped = dropped;
        if let Some(stencils) = self.stencils.get_mut(of) {
            stencils.lent = false;
            if is_same {
                stencils.kept = Some(Box::new(stencil));
            }
        }
    }
}

/// An object that was translated: where it began, where its target and its slots begin.
pub(super) struct Done {
    pub(super) start: usize,
    pub(super) out: usize,
    pub(super) slots: usize,
    pub(super) level: usize,
    pub(super) depth: usize,
}

/// A stencil in the making.
struct Cut<'t> {
    text: &'t [u8],
    scanner: Scanner<'t>,
    stencil: Stencil,
    /// Start and end of each value, and the slot that it fills.
    values: Vec<(usize, usize, Option<usize>)>,
    /// Where the stretch before the next value begins.
    behind: usize,
}

impl<'t> Cut<'t> {
    /// Reads the object again for its values; nothing if it is unfit.
    fn skeleton(text: &'t [u8], start: usize, end: usize, lens: &Lens) -> Option<Self> {
        let mut scanner = Scanner::new(text, usize::MAX);
        scanner.at = start;
        let mut cut = Self { text, scanner, stencil: Stencil::default(), values: Vec::new(), behind: start };
        cut.object(lens, lens.nodes.first()?, 1)?;
        cut.stencil.end = Stretch::new(text.get(cut.behind..end)?);
        (cut.scanner.at == end).then_some(cut)
    }

    fn object(&mut self, lens: &Lens, node: &Node, level: usize) -> Option<()> {
        self.stencil.levels = self.stencil.levels.max(level);
        self.scanner.at += 1;
        if self.scanner.next() == b'}' {
            self.scanner.at += 1;
            return Some(());
        }
        loop {
            let start = self.scanner.at + 1;
            let escaped = self.scanner.skip_string().ok()?;
            let name = plain_name(self.text.get(start..self.scanner.at - 1)?, escaped);
            self.scanner.skip_colon().ok()?;
            let action = node.keys.get(&name).and_then(|index| node.actions.get(index));
            match action.map(|action| &action.kind) {
                None if node.closed => return None,
                None | Some(ActionKind::Rename { .. }) => self.hole(Nested::No, None, level)?,
                Some(ActionKind::Slot { slot, nested, .. }) => self.hole(*nested, Some(*slot), level)?,
                Some(ActionKind::Enter { node, .. }) if self.scanner.peek() == b'{' => {
                    self.object(lens, lens.nodes.get(*node)?, level + 1)?;
                }
                Some(ActionKind::Enter { .. } | ActionKind::Taken) => return None,
            }
            let next = self.scanner.next();
            self.scanner.at += 1;
            match next {
                b',' => self.scanner.skip_space(),
                _ => return Some(()),
            }
        }
    }

    /// Notes the value that is next.
    fn hole(&mut self, nested: Nested, slot: Option<usize>, level: usize) -> Option<()> {
        let start = self.scanner.at;
        self.scanner.skip_value(level).ok()?;
        let before = Stretch::new(self.text.get(self.behind..start)?);
        self.behind = self.scanner.at;
        self.values.push((start, self.scanner.at, slot));
        self.stencil.holes.push(Hole { before, level, nested, in_place: None });
        (self.values.len() <= MOST_HOLES).then_some(())
    }

    /// Works out what to write.
    fn finish(mut self, lens: &Lens, slots: &[Slot], copied: &[Copied], written: &[u8], out: usize) -> Option<Stencil> {
        self.prepare(lens, slots);
        let mut steps = Vec::new();
        let mut at = out;
        for copy in copied {
            let text = written.get(at.checked_sub(out)?..copy.out_start.checked_sub(out)?)?;
            steps.push(Step::Text(text));
            match copy.from {
                From::Source(start) => self.source(start, start + (copy.out_end - copy.out_start), &mut steps)?,
                From::Slot(slot) => steps.push(Step::Value(self.slot(lens, slot)?)),
                From::Vanished => return None,
                From::Converted(slot) => {
                    let (node, write) = codec_of(lens, slot)?;
                    let hole = self.hole_of(slot)?;
                    steps.push(Step::Value(What::Convert { hole, node, write }));
                }
            }
            at = copy.out_end;
        }
        steps.push(Step::Text(written.get(at.checked_sub(out)?..)?));
        self.ops(&steps);
        self.place();
        let stretches: usize = self.stencil.holes.iter().map(|hole| hole.before.text().len()).sum();
        (stretches + self.stencil.ops.len() * TEXT <= MOST_TEXT).then_some(self.stencil)
    }

    /// What copies a slot.
    fn slot(&self, lens: &Lens, slot: usize) -> Option<What> {
        if let Some(output) = slot.checked_sub(lens.slot_names.len()) {
            return Some(What::Prepared { output: offset(output) });
        }
        let hole = self.hole_of(slot)?;
        Some(match self.stencil.holes.get(hole as usize)?.nested {
            Nested::No => What::Run { first: hole, last: hole },
            Nested::As(_) | Nested::Each(_) => What::Nested { hole },
        })
    }

    /// A copy of the source: texts that are a part of the shape, and the values between them.
    fn source(&self, start: usize, end: usize, steps: &mut Vec<Step<'t>>) -> Option<()> {
        let mut at = start;
        for (index, (from, to, _)) in self.values.iter().enumerate() {
            if *to <= start || end <= *from {
                continue;
            }
            // A copy that begins or ends within a value would be none of the writer's.
            if *from < start || end < *to || self.stencil.holes.get(index)?.nested != Nested::No {
                return None;
            }
            steps.push(Step::Text(self.text.get(at..*from)?));
            steps.push(Step::Value(What::Run { first: offset(index), last: offset(index) }));
            at = *to;
        }
        steps.push(Step::Text(self.text.get(at..end)?));
        Some(())
    }

    /// Turns steps into ops: texts joined, runs of the source joined where it goes on like that.
    fn ops(&mut self, steps: &[Step<'_>]) {
        let mut text = Vec::new();
        let ops = &mut self.stencil.ops;
        for step in steps {
            let what = match step {
                Step::Text(more) => {
                    text.extend_from_slice(more);
                    continue;
                }
                Step::Value(what) => *what,
            };
            if let (What::Run { first: next, last }, Some(op)) = (what, ops.last_mut())
                && let What::Run { first, last: before } = op.what
                && before + 1 == next
                && self.stencil.holes.get(next as usize).is_some_and(|hole| *hole.before.text() == *text)
            {
                op.what = What::Run { first, last };
            } else {
                push_ops(&text, what, ops);
            }
            text.clear();
        }
        push_ops(&text, What::Text, ops);
    }

    fn hole_of(&self, slot: usize) -> Option<u32> {
        self.values.iter().position(|(_, _, fills)| *fills == Some(slot)).map(offset)
    }

    /// Notes the conversions between several places.
    fn prepare(&mut self, lens: &Lens, slots: &[Slot]) {
        self.stencil.prepared = lens.slots - lens.slot_names.len();
        for (index, preparation) in lens.preparations.iter().enumerate() {
            let inputs: Vec<Option<u32>> = preparation.inputs.iter().map(|slot| self.hole_of(*slot)).collect();
            if lens.partial && inputs.iter().all(Option::is_none) {
                continue;
            }
            let is_given = |slot: &usize| slots.get(*slot).is_some_and(|slot| !matches!(slot, Slot::Absent));
            let output = |slot: &usize| is_given(slot).then(|| offset(*slot - lens.slot_names.len()));
            let outputs = preparation.outputs.iter().map(output).collect();
            self.stencil.preparing.push(Preparing { index, inputs, outputs });
        }
    }

    /// Puts the conversions between several places before what needs them, and finds what can be translated into place.
    fn place(&mut self) {
        let ops = &mut self.stencil.ops;
        for (index, preparing) in self.stencil.preparing.iter().enumerate() {
            let needs = |op: &Op| match op.what {
                What::Prepared { output } => preparing.outputs.contains(&Some(output)),
                _ => false,
            };
            let at = ops.iter().position(needs).unwrap_or(ops.len());
            ops.insert(at, Op { text: [0; TEXT], length: 0, what: What::Prepare { index: offset(index) } });
        }
        let mut needed = 0;
        for (index, op) in ops.iter().enumerate() {
            let last = match op.what {
                What::Run { last: hole, .. } | What::Convert { hole, .. } => hole,
                What::Prepare { index } => {
                    let inputs = self.stencil.preparing.get(index as usize).map(|preparing| preparing.inputs.iter());
                    inputs.into_iter().flatten().flatten().copied().max().unwrap_or(0)
                }
                What::Prepared { .. } | What::Text => continue,
                What::Nested { hole } => {
                    if let Some(place) = self.stencil.holes.get_mut(hole as usize)
                        && needed <= hole
                    {
                        place.in_place = Some(index);
                    }
                    hole
                }
            };
            needed = needed.max(last + 1);
        }
    }
}

/// A part of the target.
enum Step<'s> {
    Text(&'s [u8]),
    Value(What),
}

/// Adds the op that writes a text and a value, and those before it that a long text needs.
fn push_ops(text: &[u8], what: What, ops: &mut Vec<Op>) {
    let op = |text: &[u8], what| {
        let mut padded = [0; TEXT];
        for (to, from) in padded.iter_mut().zip(text) {
            *to = *from;
        }
        Op { text: padded, length: offset(text.len()), what }
    };
    let (before, last) = match text.len() % TEXT {
        0 => text.split_at(text.len().saturating_sub(TEXT)),
        more => text.split_at(text.len() - more),
    };
    ops.extend(before.chunks(TEXT).map(|chunk| op(chunk, What::Text)));
    ops.push(op(last, what));
}

/// The write that converts a slot, by node and index; no node if it is the whole target.
fn codec_of(lens: &Lens, slot: usize) -> Option<(u32, u32)> {
    let is_it = |source: &Source| matches!(source, Source::Slot { slot: read, .. } if *read == slot);
    if lens.whole_target.as_ref().is_some_and(is_it) {
        return Some((u32::MAX, 0));
    }
    lens.nodes.iter().enumerate().find_map(|(node, at)| {
        let write = at.writes.iter().position(|write| is_it(&write.source))?;
        Some((offset(node), offset(write)))
    })
}
