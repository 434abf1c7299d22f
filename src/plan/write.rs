//! Writing the target: copies runs of the source, puts converted values where their source stood.

use super::engine::{Item, RUN, Slot};
use super::fault::Step;
use super::lens::{ActionKind, Lens, Node, Source};
use super::stencil::{Copied, From};
use super::{Direction, Fault};
use crate::codecs::Codec;

pub(super) struct Writer<'w> {
    pub(super) text: &'w [u8],
    /// Values of nested documents and of several-place conversions.
    pub(super) side: &'w [u8],
    pub(super) out: &'w mut Vec<u8>,
    pub(super) items: &'w [Item],
    pub(super) slots: &'w [Slot],
    pub(super) direction: Direction,
    pub(super) lens: &'w Lens,
    /// The node and name of a member that had to give way to another of its name.
    pub(super) displaced: Option<(usize, u32)>,
    /// Notes what is copied, where a stencil will be cut.
    pub(super) copied: Option<&'w mut Vec<Copied>>,
}

impl<'w> Writer<'w> {
    /// Writes the whole target; its items begin at `first`.
    pub(super) fn document(&mut self, first: usize) -> Step<()> {
        match &self.lens.whole_target {
            Some(source) => {
                // A document is never absent, so a whole that has no value is null.
                if !self.value(source)? {
                    self.out.extend_from_slice(b"null");
                }
                Ok(())
            }
            None => self.object(0, first, self.items.len()).map(|_| ()),
        }
    }

    fn bytes(&self, start: u32, end: u32) -> &[u8] {
        self.text.get(start as usize..end as usize).unwrap_or_default()
    }

    #[inline]
    fn copy(&mut self, start: u32, end: u32) {
        if start == end {
            return;
        }
        let bytes = self.text.get(start as usize..end as usize).unwrap_or_default();
        let before = self.out.len();
        self.out.extend_from_slice(bytes);
        self.note(before, From::Source(start as usize));
    }

    /// Notes that what was written since comes from the source.
    #[inline]
    fn note(&mut self, out_start: usize, from: From) {
        if let Some(copied) = &mut self.copied {
            copied.push(Copied { out_start, out_end: self.out.len(), from });
        }
    }

    /// Takes back what was written behind a position.
    fn truncate(&mut self, length: usize) {
        self.out.truncate(length);
        if let Some(copied) = &mut self.copied {
            copied.retain(|copy| copy.out_start < length || matches!(copy.from, From::Vanished));
            if let Some(last) = copied.last_mut() {
                last.out_end = last.out_end.min(length);
            }
        }
    }

    /// Writes the object of a node from the items `first..last`; answers whether it has members.
    fn object(&mut self, node: usize, first: usize, last: usize) -> Step<bool> {
        let lens = self.lens;
        let of = node;
        let Some(node) = lens.nodes.get(node) else { return Ok(false) };
        let mut done = Done::default();
        self.out.push(b'{');
        let body = self.out.len();
        let mut at = first;
        while let Some(item) = self.items.get(at).filter(|_| at < last) {
            if item.action == RUN {
                self.separate(body);
                self.copy(item.start, item.end);
            } else {
                self.owned((of, node), item, at, body, &mut done, (first, last))?;
            }
            at = item.next as usize;
        }
        if !done.all(node.writes.len()) {
            self.rest(node, body, &mut done, (first, last))?;
        }
        let any = self.out.len() > body && self.out.get(body..).is_some_and(|text| !text.iter().all(is_space));
        self.out.push(b'}');
        Ok(any)
    }

    /// Writes one member that an action owns, and what it feeds.
    fn owned(
        &mut self,
        (of, node): (usize, &Node),
        item: &Item,
        at: usize,
        body: usize,
        done: &mut Done,
        items: (usize, usize),
    ) -> Step<()> {
        let Some(action) = node.actions.get(item.action as usize) else { return Ok(()) };
        match &action.kind {
            ActionKind::Rename { write: home } => {
                if let Some(write) = node.writes.get(*home) {
                    self.separate(body);
                    self.copy_space(item);
                    self.out.extend_from_slice(&write.key);
                    self.copy(item.key_end, item.end);
                }
                done.set(*home);
            }
            ActionKind::Slot { home: Some(home), .. } => {
                if let Some(write) = node.writes.get(*home) {
                    let before = self.out.len();
                    self.separate(body);
                    self.copy_space(item);
                    self.out.extend_from_slice(&write.key);
                    self.copy(item.key_end, item.value_start);
                    if self.value(&write.source)? {
                        self.copy(item.value_end, item.end);
                    } else {
                        self.truncate(before);
                    }
                }
                done.set(*home);
            }
            ActionKind::Enter { node: child, group: Some(group) } if !self.is_object(item) => {
                self.member(node, *group, body, done, items, Some(item))?;
                let null = self.bytes(item.value_start, item.value_end) == b"null";
                if done.get(*group) {
                    if !null {
                        self.displaced = Some((of, item.key_start));
                    }
                } else if !null
                    || self.lens.keeps_emptied
                    || !self.lens.nodes.get(*child).is_some_and(|child| child.read)
                {
                    self.separate(body);
                    self.copy(item.start, item.end);
                    done.set(*group);
                }
            }
            ActionKind::Enter { node: child, group } if self.is_object(item) => {
                let before = self.out.len();
                self.separate(body);
                self.copy(item.start, item.value_start);
                let any = self.object(*child, at + 1, item.next as usize)?;
                self.copy(item.value_end, item.end);
                let emptied = |child: &Node| child.closed || (child.read && !self.lens.keeps_emptied);
                if !any && self.lens.nodes.get(*child).is_some_and(emptied) {
                    self.truncate(before);
                }
                if let Some(group) = group {
                    done.set(*group);
                }
            }
            _ => {}
        }
        for &index in &action.feeds {
            self.member(node, index, body, done, items, Some(item))?;
        }
        Ok(())
    }

    fn is_object(&self, item: &Item) -> bool {
        self.text.get(item.value_start as usize) == Some(&b'{')
    }

    /// Copies the white space before a member's name.
    #[inline]
    fn copy_space(&mut self, item: &Item) {
        if item.start != item.key_start {
            self.copy(item.start, item.key_start);
        }
    }

    fn separate(&mut self, body: usize) {
        if self.out.len() > body {
            self.out.push(b',');
        }
    }

    /// Writes what no member of the source stood for, before the white space that ends the object.
    fn rest(&mut self, node: &Node, body: usize, done: &mut Done, items: (usize, usize)) -> Step<()> {
        // Room for the usual line break and indentation; longer ones stay where they are, before the new members.
        let mut kept = [b' '; 64];
        let text = self.out.get(body..).unwrap_or_default();
        let spaces = text.iter().rev().take_while(|&byte| is_space(byte)).count();
        let mut tail: &[u8] = &[];
        if let (true, Some(room), Some(space)) =
            (spaces < text.len(), kept.get_mut(..spaces), text.get(text.len() - spaces..))
        {
            room.copy_from_slice(space);
            tail = room;
            let length = self.out.len() - spaces;
            self.truncate(length);
        }
        for index in 0..node.writes.len() {
            self.member(node, index, body, done, items, None)?;
        }
        self.out.extend_from_slice(tail);
        Ok(())
    }

    /// Writes one member of the target, unless it is there already, has no value, or will be met later.
    fn member(
        &mut self,
        node: &Node,
        index: usize,
        body: usize,
        done: &mut Done,
        items: (usize, usize),
        instead_of: Option<&Item>,
    ) -> Step<()> {
        let Some(write) = node.writes.get(index) else { return Ok(()) };
        if done.get(index) {
            return Ok(());
        }
        if let Source::Group(group) = write.source
            && self.is_met(node, group, items)
        {
            return Ok(());
        }
        let before = self.out.len();
        self.separate(body);
        if let Some(item) = instead_of {
            self.copy_space(item);
        }
        self.out.extend_from_slice(&write.key);
        self.out.push(b':');
        if self.value(&write.source)? {
            done.set(index);
        } else {
            self.truncate(before);
        }
        Ok(())
    }

    /// Whether the source has an object of its own at a group's path: the group is written there.
    fn is_met(&self, node: &Node, group: usize, (first, last): (usize, usize)) -> bool {
        let mut at = first;
        while let Some(item) = self.items.get(at).filter(|_| at < last) {
            if let Some(action) = node.actions.get(item.action as usize)
                && matches!(action.kind, ActionKind::Enter { node: entered, .. } if entered == group)
            {
                return self.is_object(item);
            }
            at = item.next as usize;
        }
        false
    }

    #[inline]
    fn slot(&self, slot: usize) -> Option<&'w [u8]> {
        match self.slots.get(slot) {
            Some(Slot::Source(start, end)) => self.text.get(*start as usize..*end as usize),
            Some(Slot::Side(start, end)) => self.side.get(*start..*end),
            _ => None,
        }
    }

    /// Writes a value; answers `false`, having written nothing that counts, where there is none.
    fn value(&mut self, source: &Source) -> Step<bool> {
        let default = match source {
            Source::Constant(text) => Some(text),
            Source::Group(node) => {
                let nothing = self.items.len();
                return self.object(*node, nothing, nothing);
            }
            Source::Slot { slot, codec: Codec::Same, default } => match self.slot(*slot) {
                Some(text) => {
                    let before = self.out.len();
                    self.out.extend_from_slice(text);
                    self.note(before, From::Slot(*slot));
                    return Ok(true);
                }
                None => default.as_ref(),
            },
            Source::Slot { slot, codec, default } => {
                let value = self.slot(*slot);
                if value.is_none() && self.lens.partial {
                    return Ok(false);
                }
                if value.is_some() || default.is_none() {
                    let before = self.out.len();
                    let mut converted = codec.convert(self.direction, value, self.out);
                    if let (Some(_), Ok(false)) = (value, &converted) {
                        // In a partial document, absent would leave alone what the source takes away (RFC 7396).
                        if self.lens.partial {
                            self.out.extend_from_slice(b"null");
                            converted = Ok(true);
                        }
                        self.note(before, From::Vanished);
                    } else if value.is_some() {
                        self.note(before, From::Converted(*slot));
                    }
                    return converted.map_err(|guard| {
                        let name = self.lens.slot_names.get(*slot).map_or("", String::as_str);
                        let mut fault = Fault::guard(guard).within(name);
                        if let Some(Slot::Source(start, _)) = self.slots.get(*slot) {
                            fault.offset = Some(*start as usize);
                        }
                        Box::new(fault)
                    });
                }
                default.as_ref()
            }
        };
        if let Some(text) = default {
            self.out.extend_from_slice(text);
        }
        Ok(default.is_some())
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "used as a predicate over slices")]
fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

/// Which of an object's members are written: a bit each, more where an object has more than a word holds.
#[derive(Default)]
struct Done {
    word: u64,
    more: Vec<bool>,
}

impl Done {
    #[inline]
    fn get(&self, index: usize) -> bool {
        if index < 64 { self.word & (1 << index) != 0 } else { self.more.get(index - 64).copied().unwrap_or(false) }
    }

    #[inline]
    fn set(&mut self, index: usize) {
        if index < 64 {
            self.word |= 1 << index;
        } else {
            if self.more.len() <= index - 64 {
                self.more.resize(index - 63, false);
            }
            if let Some(done) = self.more.get_mut(index - 64) {
                *done = true;
            }
        }
    }

    #[inline]
    fn all(&self, count: usize) -> bool {
        if count < 64 { self.word == (1 << count) - 1 } else { (0..count).all(|index| self.get(index)) }
    }
}
