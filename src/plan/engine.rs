//! The one pass: reads a document once, notes where everything is, and lets the writer copy.
//!
//! Members that no rule names become runs of bytes; members that a rule owns become slots. Nested documents (a type
//! inside a type, elements of a list) are translated as soon as they are read, into one of two side buffers that take
//! turns by nesting level, so that memory is bounded by the largest element and nothing is ever parsed twice.

use std::collections::HashMap;

use super::fault::Step;
use super::keys::{Met, Name, Seen, plain_name};
use super::lens::{Action, ActionKind, Lens, Lenses, Nested, Node};
use super::shape::{Known, NONE, Shape};
use super::write::Writer;
use super::{Direction, Fault, FaultKind, Limits, TypeId};
use crate::codecs::Written;
use crate::json::{self, ErrorKind, Scanner, unescape};

/// Reused working memory of translations; one per worker, grows to the largest message seen.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) side: [Vec<u8>; 2],
    pub(super) items: Vec<Item>,
    pub(super) slots: Vec<Slot>,
    met: Vec<Met>,
    /// Members matched by shape in the objects that are being read: where the name begins, its index in the shape.
    matched: Vec<(u32, u32)>,
    /// What objects looked like, by set of lenses.
    shapes: HashMap<u64, Vec<Shape>>,
    /// Members left out of the last translation because their place is taken (see [`super::Unplaced::Drop`]).
    pub(super) dropped: usize,
}

impl Scratch {
    /// How many members the last translation left out because a rule writes a member of their name.
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    fn clear(&mut self) {
        self.side.iter_mut().for_each(Vec::clear);
        self.items.clear();
        self.slots.clear();
        self.met.clear();
        self.matched.clear();
        self.dropped = 0;
        if self.shapes.len() > MAX_SHAPES {
            self.shapes.clear();
        }
    }
}

/// Sets of lenses whose shapes one worker remembers. Beyond it, it begins anew.
const MAX_SHAPES: usize = 256;

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
    pub(super) value_start: u32,
    pub(super) value_end: u32,
    /// The action that owns the member; `RUN` for members that none does.
    pub(super) action: u32,
    /// The next item of the same object, in the arena of items.
    pub(super) next: u32,
}

pub(super) const RUN: u32 = u32::MAX;

pub(super) struct Engine<'e> {
    pub(super) text: &'e [u8],
    pub(super) lenses: &'e Lenses,
    pub(super) direction: Direction,
    pub(super) limits: Limits,
    pub(super) scanner: Scanner<'e>,
    pub(super) scratch: &'e mut Scratch,
    shapes: Vec<Shape>,
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
    if u32::try_from(text.len()).is_err() {
        return Err(Fault::new(FaultKind::TooLarge, "the document is larger than 4 GiB"));
    }
    json::check_utf8(text)?;
    scratch.clear();
    // Level 0 writes into the first side buffer: lend it the caller's.
    let before = out.len();
    std::mem::swap(out, &mut scratch.side[0]);
    let mut shapes = scratch.shapes.get_mut(&lenses.id).map(std::mem::take).unwrap_or_default();
    shapes.resize_with(lenses.nodes, Shape::default);
    let scanner = Scanner::new(text, limits.depth);
    let mut engine = Engine { text, lenses, direction, limits, scanner, scratch, shapes };
    let result = engine.whole(of);
    let shapes = engine.shapes;
    scratch.shapes.insert(lenses.id, shapes);
    std::mem::swap(out, &mut scratch.side[0]);
    if result.is_err() {
        out.truncate(before);
    }
    Ok(result?)
}

impl<'e> Engine<'e> {
    fn whole(&mut self, of: TypeId) -> Step<()> {
        self.scanner.skip_space();
        self.value(of, 0, 0)?;
        self.scanner.finish()?;
        Ok(())
    }

    fn buffer(&mut self, level: usize) -> &mut Vec<u8> {
        let [even, odd] = &mut self.scratch.side;
        if level % 2 == 0 { even } else { odd }
    }

    /// Translates the value that is next as a document of a type: into the buffer of `level`.
    fn value(&mut self, of: TypeId, level: usize, depth: usize) -> Step<()> {
        let lenses = self.lenses;
        let Some(lens) = lenses.lenses.get(of.0) else { return self.copy_value(level, depth) };
        if self.scanner.peek() != b'{' && lens.whole_source.is_none() {
            // Only objects have members: any other value passes as it is.
            return self.copy_value(level, depth);
        }
        let slots = self.scratch.slots.len();
        let items = self.scratch.items.len();
        let side = self.buffer(level + 1).len();
        self.scratch.slots.resize(slots + lens.slots, Slot::Absent);

        if let Some((slot, nested)) = lens.whole_source {
            self.slot_value(slots + slot, nested, level, depth)?;
        } else {
            self.object(lens, 0, slots, level, depth)?;
        }
        self.prepare(lens, slots, level)?;
        self.write(lens, slots, items, level)?;

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

    /// Reads the object that is next: items and slots of one node and of those below it.
    fn object(&mut self, lens: &Lens, node: usize, slots: usize, level: usize, depth: usize) -> Step<()> {
        let shape = lens.first_shape + node;
        let Some(node) = lens.nodes.get(node) else { return Ok(self.scanner.skip_value(depth)?) };
        self.scanner.check_depth(depth + 1)?;
        self.scanner.at += 1;
        let met = self.scratch.met.len();
        let matched = self.scratch.matched.len();
        let mut names = Names { seen: Seen::new(&self.scratch.met), follows: Some(0), matched, shape };
        let mut start = self.scanner.at;
        self.scanner.skip_space();
        if self.scanner.peek() == b'}' {
            self.scanner.at += 1;
            return Ok(());
        }
        // The open run of members that nobody owns, if the last item is one.
        let mut run: Option<usize> = None;
        loop {
            let key_start = self.scanner.at;
            let action = match self.follow(&mut names) {
                Some(action) => action,
                None => self.name(node, &mut names)?,
            };
            let found = node.actions.get(action as usize).map(|found| (action as usize, found));
            let value_start = self.scanner.at;
            let owner = match found {
                None if !node.closed => {
                    self.scanner.skip_value(depth + 1)?;
                    None
                }
                found => {
                    let index = self.scratch.items.len();
                    let owned = self.owned(lens, found.map(|(_, action)| action), slots, level, depth, value_start)?;
                    match (owned, found) {
                        (Member::Owned, Some((action, _))) => Some((index, action)),
                        (Member::Unowned, _) => None,
                        (Member::Unplaced, _) | (Member::Owned, None) => {
                            self.unplaced(&node.name, key_start)?;
                            Some((index, DROPPED))
                        }
                    }
                }
            };
            let value_end = self.scanner.at;
            self.scanner.skip_space();
            let end = self.scanner.at;
            match owner {
                None => match run.and_then(|index| self.scratch.items.get_mut(index)) {
                    Some(item) => item.end = offset(end),
                    None => {
                        let next = offset(self.scratch.items.len() + 1);
                        run = Some(self.scratch.items.len());
                        self.scratch.items.push(Item {
                            start: offset(start),
                            end: offset(end),
                            key_start: 0,
                            value_start: 0,
                            value_end: 0,
                            action: RUN,
                            next,
                        });
                    }
                },
                Some((index, action)) => {
                    run = None;
                    if action != DROPPED {
                        let next = offset(self.scratch.items.len());
                        if let Some(item) = self.scratch.items.get_mut(index) {
                            *item = Item {
                                start: offset(start),
                                end: offset(end),
                                key_start: offset(key_start),
                                value_start: offset(value_start),
                                value_end: offset(value_end),
                                action: offset(action),
                                next,
                            };
                        }
                    }
                }
            }
            match self.scanner.peek() {
                b',' => self.scanner.at += 1,
                b'}' => break,
                _ => return Ok(self.scanner.expected("`,` or `}`")?),
            }
            start = self.scanner.at;
            self.scanner.skip_space();
        }
        self.scanner.at += 1;
        self.learn(node, &names);
        self.scratch.met.truncate(met);
        self.scratch.matched.truncate(matched);
        Ok(())
    }

    /// Reads the member's name and colon if they are the ones that came next last time; answers its action.
    #[inline]
    fn follow(&mut self, names: &mut Names) -> Option<u32> {
        let from = names.follows?;
        let at = self.scanner.at;
        let found = self.shapes.get(names.shape).and_then(|shape| shape.next(from, self.text.get(at..)?));
        let Some((index, known)) = found else {
            self.leave_shape(names);
            return None;
        };
        let action = known.action;
        self.scanner.at = at + known.len();
        self.scanner.skip_space();
        self.scratch.matched.push((offset(at), offset(index)));
        names.follows = Some(index + 1);
        Some(action)
    }

    /// From here on names are read in full; those matched so far are noted, so that none can come twice.
    #[cold]
    fn leave_shape(&mut self, names: &mut Names) {
        names.follows = None;
        let matched = self.scratch.matched.get(names.matched..).unwrap_or_default();
        for (at, index) in matched {
            let known = self.shapes.get(names.shape).and_then(|shape| shape.get(*index as usize));
            if let Some(known) = known {
                let met = Met::new(known.fingerprint, at + 1, at + offset(known.len()) - 2);
                names.seen.add(&mut self.scratch.met, met);
            }
        }
    }

    /// Reads the member's name and colon in full; answers its action.
    fn name(&mut self, node: &Node, names: &mut Names) -> Step<u32> {
        let key_start = self.scanner.at;
        if self.scanner.peek() != b'"' {
            return Ok(self.scanner.expected("a member name in quotes")?);
        }
        let escaped = self.scanner.skip_string()?;
        let (start, end) = (key_start + 1, self.scanner.at - 1);
        let raw = self.text.get(start..end).unwrap_or_default();
        let unescaped;
        let name = if escaped {
            unescaped = plain_name(raw, true);
            Name::new(&unescaped, true)
        } else {
            Name::new(raw, false)
        };
        if names.seen.note(self.text, &mut self.scratch.met, name, start, end) {
            let error = json::Error { kind: ErrorKind::DuplicateKey, offset: key_start };
            return Err(Box::new(Fault::from(error).within(&node.name)));
        }
        self.scanner.skip_colon()?;
        Ok(node.keys.find(name.text, name.fingerprint).map_or(NONE, offset))
    }

    /// Remembers what the object that was just read looked like.
    fn learn(&mut self, node: &Node, names: &Names) {
        let Some(shape) = self.shapes.get_mut(names.shape) else { return };
        if names.follows.is_some() {
            shape.hit();
        } else if shape.miss()
            && let Some(met) = names.seen.names(&self.scratch.met)
        {
            let labels = met.iter().filter_map(|met| met.label(self.text));
            shape.learn(labels.map(|(label, fingerprint)| {
                let name = label.get(1..label.len() - 2).unwrap_or_default();
                Known::new(label, node.keys.find(name, fingerprint).map_or(NONE, offset), fingerprint)
            }));
        }
    }

    /// Reads the value of a member that has an action, or that stands in a closed object.
    fn owned(
        &mut self,
        lens: &Lens,
        action: Option<&Action>,
        slots: usize,
        level: usize,
        depth: usize,
        value_start: usize,
    ) -> Step<Member> {
        match action.map(|action| &action.kind) {
            Some(ActionKind::Slot { slot, nested, .. }) => {
                self.reserve();
                let read = self.slot_value(slots + slot, *nested, level, depth + 1);
                read.map_err(|fault| within(fault, lens.slot_names.get(*slot)))?;
                Ok(Member::Owned)
            }
            Some(ActionKind::Enter { node, group }) => {
                if self.scanner.peek() == b'{' {
                    self.reserve();
                    self.object(lens, *node, slots, level, depth + 1)?;
                    return Ok(Member::Owned);
                }
                self.scanner.skip_value(depth + 1)?;
                let null = self.text.get(value_start..self.scanner.at) == Some(b"null");
                let closed = lens.nodes.get(*node).is_some_and(|node| node.closed);
                match (null, group.is_some() || closed) {
                    // An object that is not there: nothing to place.
                    (true, true) => self.skip_null(),
                    (true, false) if !lens.keeps_emptied => self.skip_null(),
                    (false, true) => Ok(Member::Unplaced),
                    (_, false) => Ok(Member::Unowned),
                }
            }
            Some(ActionKind::Taken) | None => {
                self.scanner.skip_value(depth + 1)?;
                Ok(Member::Unplaced)
            }
        }
    }

    /// A null parent has no members, but what is written at its place must still find it: an item without children.
    fn skip_null(&mut self) -> Step<Member> {
        self.reserve();
        Ok(Member::Owned)
    }

    /// Takes the place of the member's item before its children's.
    fn reserve(&mut self) {
        let next = offset(self.scratch.items.len() + 1);
        self.scratch.items.push(Item {
            start: 0,
            end: 0,
            key_start: 0,
            value_start: 0,
            value_end: 0,
            action: RUN,
            next,
        });
    }

    #[cold]
    fn unplaced(&mut self, node: &str, key_start: usize) -> Step<()> {
        if self.limits.unplaced == super::Unplaced::Drop {
            self.scratch.dropped += 1;
            return Ok(());
        }
        let detail = "the other interface has another field at this place, so it cannot be passed on";
        let mut fault = Fault::new(FaultKind::Collision, detail);
        fault.offset = Some(key_start);
        let mut name = Scanner::new(self.text, 0);
        name.at = key_start;
        let _accepted = name.skip_string();
        let name = self.text.get(key_start..name.at).and_then(unescape).unwrap_or_default();
        let shown: String = name.chars().take(64).collect();
        Err(Box::new(fault.within(&shown).within(node)))
    }

    /// Reads the value that is next into a slot; nested documents go to the buffer of the next level.
    fn slot_value(&mut self, slot: usize, nested: Nested, level: usize, depth: usize) -> Step<()> {
        let start = self.scanner.at;
        let value = match (nested, self.scanner.peek()) {
            (Nested::As(of), b'{') => {
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
    fn list(&mut self, of: TypeId, level: usize, depth: usize) -> Step<()> {
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
            let count = preparation.outputs.len().min(MAX_PLACES);
            let results = outputs.get_mut(..count).unwrap_or_default();
            let [even, odd] = &mut self.scratch.side;
            let side = if level % 2 == 0 { odd } else { even };
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

    fn write(&mut self, lens: &Lens, slots: usize, items: usize, level: usize) -> Step<()> {
        let scratch = &mut *self.scratch;
        let [even, odd] = &mut scratch.side;
        let (out, side) = if level % 2 == 0 { (even, odd) } else { (odd, even) };
        let mut writer = Writer {
            text: self.text,
            side,
            out,
            items: &scratch.items,
            slots: scratch.slots.get(slots..).unwrap_or_default(),
            direction: self.direction,
            lens,
        };
        writer.document(items)?;
        self.check_size(level)
    }
}

/// The most places that one codec joins on one side.
pub(super) const MAX_PLACES: usize = 8;

/// Marks a member that was left out.
const DROPPED: usize = usize::MAX;

/// The names of one object while it is read.
struct Names {
    seen: Seen,
    /// The index of the shape's next member, as long as the object follows its shape.
    follows: Option<usize>,
    /// Where this object's members begin among the matched.
    matched: usize,
    shape: usize,
}

/// How a member with an action turned out.
enum Member {
    Owned,
    Unowned,
    Unplaced,
}

/// The same fault seen from outside.
#[cold]
fn within(fault: Box<Fault>, outer: Option<&String>) -> Box<Fault> {
    Box::new(fault.within(outer.map_or("", String::as_str)))
}

/// Offsets fit: documents over 4 GiB are refused at the door.
#[expect(clippy::cast_possible_truncation, reason = "the door")]
#[inline]
fn offset(at: usize) -> u32 {
    at as u32
}
