//! The members of one object: who owns each, and where everything is.

use super::engine::{Engine, Item, RUN, Slot, offset, within};
use super::fault::Step;
use super::keys::{Met, Name, Seen, plain_name};
use super::lens::{ActionKind, Lens, NONE, Node, Read};
use super::shape::{Known, MOST, Shape, next_known};
use super::{Fault, FaultKind};
use crate::json::{self, ErrorKind, Scanner, unescape};

impl Engine<'_> {
    /// Reads the object that is next: items and slots of one node and of those below it.
    pub(super) fn object(&mut self, lens: &Lens, node: usize, slots: usize, level: usize, depth: usize) -> Step<()> {
        let shape = lens.first_shape + node;
        let is_inner = node > 0;
        let Some(node) = lens.nodes.get(node) else { return Ok(self.scanner.skip_value(depth)?) };
        self.scanner.check_depth(depth + 1)?;
        self.scanner.at += 1;
        let start = self.scanner.at;
        self.scanner.skip_space();
        if self.scanner.peek() == b'}' {
            if lens.fused && is_inner {
                return Err(irregular());
            }
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
            let (action, read) = if let Some((length, action, read)) = names.follow(self.text, key_start) {
                self.scanner.at = key_start + length;
                (action, read)
            } else {
                let action = self.name(node, names)?;
                (action, node.read_of(action))
            };
            let key_end = self.scanner.at - 1 - std::mem::take(&mut names.space);
            self.scanner.skip_space();
            let value_start = self.scanner.at;
            let next;
            if read == Read::Run {
                self.scanner.skip_value(depth)?;
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
                    self.scanner.skip_value(depth)?;
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
                if lens.fused {
                    return Err(irregular());
                }
                self.scanner.skip_value(depth)?;
                let null = self.text.get(value_start..self.scanner.at) == Some(b"null");
                let child = lens.nodes.get(*node);
                if child.is_some_and(|child| child.closed) {
                    if !null {
                        return self.unplaced(&outer.name, key_start);
                    }
                } else if group.is_none() && (lens.keeps_emptied || !null) {
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
    pub(super) fn unplaced(&mut self, node: &str, key_start: usize) -> Step<u32> {
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
}

/// Why a fused lens leaves a document to the single steps. Nobody is told: their answer counts.
#[cold]
#[expect(clippy::unnecessary_box_returns, reason = "faults travel boxed, see `Step`")]
fn irregular() -> Box<Fault> {
    Box::new(Fault::new(FaultKind::Missing, "expected an object with members"))
}

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
