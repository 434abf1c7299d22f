//! The one pass: reads a document once, notes where everything is, and lets the writer copy.
//!
//! Members that no rule names become runs of bytes; members that a rule owns become slots. Nested documents (a type
//! inside a type, elements of a list) are translated as soon as they are read, into one of two side buffers that take
//! turns by nesting level, so that memory is bounded by the largest element and nothing is ever parsed twice.

use super::fault::Step;
use super::keys::{Met, Name, Seen, plain_name};
use super::lens::{ActionKind, Lens, Lenses, NONE, Nested, Node, Read};
use super::shape::{Known, MOST, Shape, next_known};
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
    /// What objects looked like, by set of lenses.
    shapes: Vec<(u64, Vec<Shape>)>,
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
        self.dropped = 0;
        if self.shapes.len() > MAX_SHAPES {
            self.shapes.clear();
        }
    }
}

/// Sets of lenses whose shapes one worker remembers. Beyond it, it begins anew.
const MAX_SHAPES: usize = 64;

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
    const RUN: Self =
        Self { start: 0, end: 0, key_start: 0, key_end: 0, value_start: 0, value_end: 0, action: RUN, next: 0 };
}

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
    let known = scratch.shapes.iter().position(|(id, _)| *id == lenses.id).unwrap_or_else(|| {
        let shapes = std::iter::repeat_with(Shape::default).take(lenses.nodes);
        scratch.shapes.push((lenses.id, shapes.collect()));
        scratch.shapes.len() - 1
    });
    let shapes = scratch.shapes.get_mut(known).map(|(_, shapes)| std::mem::take(shapes)).unwrap_or_default();
    let scanner = Scanner::new(text, limits.depth);
    let mut engine = Engine { text, lenses, direction, limits, scanner, scratch, shapes };
    let result = engine.whole(of);
    let shapes = engine.shapes;
    if let Some((_, kept)) = scratch.shapes.get_mut(known) {
        *kept = shapes;
    }
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
        let start = self.scanner.at;
        self.scanner.skip_space();
        if self.scanner.peek() == b'}' {
            self.scanner.at += 1;
            return Ok(());
        }
        let met = self.scratch.met.len();
        let known = self.shapes.get_mut(shape).map(Shape::lend).unwrap_or_default();
        let mut names = Names { known, follows: 0, matched: 0, space: 0, seen: None };
        self.members(lens, node, slots, level, depth + 1, start, &mut names)?;
        if let Some(shape) = self.shapes.get_mut(shape) {
            match &names.seen {
                None => shape.hit(names.known),
                Some(seen) => learn(shape, self.text, node, names.matched, names.known, seen.names(&self.scratch.met)),
            }
        }
        self.scratch.met.truncate(met);
        Ok(())
    }

    /// Reads an object's members and its closing brace. The first member's name is next; `start` is behind the brace.
    #[expect(clippy::too_many_arguments, reason = "the state of one object, spread over registers")]
    fn members(
        &mut self,
        lens: &Lens,
        node: &Node,
        slots: usize,
        level: usize,
        depth: usize,
        mut start: usize,
        names: &mut Names,
    ) -> Step<()> {
        // Where the open run of members that nobody owns begins and ends; nothing where both are the same.
        let (mut run_start, mut run_end) = (start, start);
        loop {
            let key_start = self.scanner.at;
            let (action, read) = match names.follow(self.text, key_start) {
                Some((length, action, read)) => {
                    self.scanner.at = key_start + length;
                    (action, read)
                }
                None => {
                    let action = self.name(node, names)?;
                    (action, node.read_of(action))
                }
            };
            let key_end = self.scanner.at - 1 - std::mem::take(&mut names.space);
            let first = self.scanner.next();
            let value_start = self.scanner.at;
            let next;
            if read == Read::Run {
                self.scanner.skip_value_from(first, depth)?;
                next = self.scanner.next();
                if run_start == run_end {
                    run_start = start;
                }
                run_end = self.scanner.at;
            } else {
                if run_start != run_end {
                    self.push_run(run_start, run_end);
                    run_start = run_end;
                }
                let index = self.scratch.items.len();
                let owner = if let Read::Leaf(slot) = read {
                    self.scanner.skip_value_from(first, depth)?;
                    if let Some(place) = self.scratch.slots.get_mut(slots + slot as usize) {
                        *place = Slot::Source(offset(value_start), offset(self.scanner.at));
                    }
                    self.scratch.items.push(Item::RUN);
                    action
                } else {
                    self.owned(lens, node, action, slots, level, depth, key_start)?
                };
                let value_end = self.scanner.at;
                next = self.scanner.next();
                let end = self.scanner.at;
                let behind = self.scratch.items.len();
                if owner == RUN {
                    (run_start, run_end) = (start, end);
                } else if let Some(item) = self.scratch.items.get_mut(index) {
                    // A member that was left out has no item.
                    *item = Item {
                        start: offset(start),
                        key_start: offset(key_start),
                        key_end: offset(key_end),
                        value_start: offset(value_start),
                        value_end: offset(value_end),
                        end: offset(end),
                        action,
                        next: offset(behind),
                    };
                }
            }
            match next {
                b',' => self.scanner.at += 1,
                b'}' => break,
                _ => return Ok(self.scanner.expected("`,` or `}`")?),
            }
            start = self.scanner.at;
            self.scanner.skip_space();
        }
        self.scanner.at += 1;
        if run_start != run_end {
            self.push_run(run_start, run_end);
        }
        Ok(())
    }

    #[inline]
    fn push_run(&mut self, start: usize, end: usize) {
        let next = offset(self.scratch.items.len() + 1);
        self.scratch.items.push(Item { start: offset(start), end: offset(end), next, ..Item::RUN });
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
        let seen = names.seen.get_or_insert_with(|| Seen::new(&self.scratch.met));
        let twice = seen.note(self.text, &mut self.scratch.met, name, start, end);
        if twice || (names.matched != 0 && is_matched(&names.known, names.matched, name.text)) {
            let error = json::Error { kind: ErrorKind::DuplicateKey, offset: key_start };
            return Err(Box::new(Fault::from(error).within(&node.name)));
        }
        if self.scanner.next() != b':' {
            return Ok(self.scanner.expected("`:`")?);
        }
        names.space = self.scanner.at - end - 1;
        self.scanner.at += 1;
        Ok(node.keys.find(name.text, name.fingerprint).map_or(NONE, offset))
    }

    /// Reads the value of a member that has an action, or that stands in a closed object. Answers the action if the
    /// member has an item now, `RUN` if nobody owns it, `DROPPED` if it is left out.
    #[expect(clippy::too_many_arguments, reason = "the state of one object, spread over registers")]
    fn owned(
        &mut self,
        lens: &Lens,
        node: &Node,
        action: u32,
        slots: usize,
        level: usize,
        depth: usize,
        key_start: usize,
    ) -> Step<u32> {
        let (outer, value_start) = (node, self.scanner.at);
        match node.actions.get(action as usize).map(|action| &action.kind) {
            Some(ActionKind::Slot { slot, nested, .. }) => {
                // The item stands before those of the members below it.
                self.scratch.items.push(Item::RUN);
                let read = self.slot_value(slots + slot, *nested, level, depth);
                read.map_err(|fault| within(fault, lens.slot_names.get(*slot)))?;
                Ok(action)
            }
            Some(ActionKind::Enter { node, group }) => {
                if self.scanner.peek() == b'{' {
                    self.scratch.items.push(Item::RUN);
                    self.object(lens, *node, slots, level, depth)?;
                    return Ok(action);
                }
                self.scanner.skip_value(depth)?;
                let null = self.text.get(value_start..self.scanner.at) == Some(b"null");
                let child = lens.nodes.get(*node);
                if child.is_some_and(|child| child.closed) {
                    if !null {
                        return self.unplaced(&outer.name, key_start);
                    }
                } else if group.is_none() && !(null && !lens.keeps_emptied) {
                    return Ok(RUN);
                }
                // Whether there is something else to write at its place is known when all is read.
                self.scratch.items.push(Item::RUN);
                Ok(action)
            }
            // A rename is a leaf, and read as one.
            Some(ActionKind::Taken | ActionKind::Rename { .. }) | None => {
                self.scanner.skip_value(depth)?;
                self.unplaced(&node.name, key_start)
            }
        }
    }

    #[cold]
    fn unplaced(&mut self, node: &str, key_start: usize) -> Step<u32> {
        if self.limits.unplaced == super::Unplaced::Drop {
            self.scratch.dropped += 1;
            return Ok(DROPPED);
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
            displaced: None,
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

/// Marks a member that was left out.
const DROPPED: u32 = u32::MAX - 1;

/// The names of one object while it is read.
struct Names {
    /// What its node's last object had.
    known: Vec<Known>,
    /// The index of the next known member, `LEFT` once the object has left its shape.
    follows: usize,
    /// A bit for each known member that was met.
    matched: u64,
    /// White space between the name that was read last and its colon.
    space: usize,
    /// The names met since the object left its shape.
    seen: Option<Seen>,
}

const LEFT: usize = usize::MAX;

impl Names {
    /// Matches the name and colon at a position, if they are the ones that came next last time; answers their length,
    /// the action and how to read the value.
    #[inline]
    fn follow(&mut self, text: &[u8], at: usize) -> Option<(usize, u32, Read)> {
        let mut index = self.follows;
        let mut known = self.known.get(index)?;
        if !known.stands_at(text, at) {
            index = next_known(&self.known, index + 1, text, at).unwrap_or(LEFT);
            self.follows = index;
            known = self.known.get(index)?;
        }
        self.follows = index + 1;
        self.matched |= 1 << (index % MOST);
        Some((known.len(), known.action, known.read))
    }
}

/// The known members of a bit set.
fn matched_of(known: &[Known], matched: u64) -> impl Iterator<Item = &Known> {
    known.iter().enumerate().filter(move |(index, _)| matched & (1 << (index % MOST)) != 0).map(|(_, known)| known)
}

#[cold]
fn is_matched(known: &[Known], matched: u64, name: &[u8]) -> bool {
    matched_of(known, matched).any(|known| known.name() == name)
}

/// Remembers what an object that did not follow its shape looked like.
#[cold]
fn learn(shape: &mut Shape, text: &[u8], node: &Node, matched: u64, known: Vec<Known>, met: Option<&[Met]>) {
    let Some(met) = met.filter(|_| shape.is_worth_learning()) else { return shape.keep(known) };
    let literals = matched_of(&known, matched).map(Known::literal);
    let labels = literals.chain(met.iter().filter_map(|met| met.label(text)));
    let action = |label: &[u8]| label.get(1..label.len() - 2).and_then(|name| node.keys.get(name)).map_or(NONE, offset);
    let known_of = |label: &[u8]| {
        let action = action(label);
        Known::new(label, action, node.read_of(action))
    };
    let members = labels.take(MOST).map(known_of).collect();
    shape.keep(members);
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
