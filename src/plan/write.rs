//! Writing the target: copies runs of the source, puts converted values where their source stood.

use super::engine::{Item, RUN, Slot};
use super::lens::{ActionKind, Lens, Node, Source};
use super::{Direction, Fault};

pub(super) struct Writer<'w> {
    pub(super) text: &'w [u8],
    /// Values of nested documents and of several-place conversions.
    pub(super) side: &'w [u8],
    pub(super) out: &'w mut Vec<u8>,
    pub(super) items: &'w [Item],
    pub(super) slots: &'w [Slot],
    /// For each write of the nodes that are being written: whether it is done.
    pub(super) written: &'w mut Vec<bool>,
    pub(super) direction: Direction,
    pub(super) lens: &'w Lens,
}

impl Writer<'_> {
    /// Writes the whole target; its items begin at `first`.
    pub(super) fn document(&mut self, first: usize) -> Result<(), Fault> {
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

    fn copy(&mut self, start: u32, end: u32) {
        let bytes = self.text.get(start as usize..end as usize).unwrap_or_default();
        self.out.extend_from_slice(bytes);
    }

    /// Writes the object of a node from the items `first..last`; answers whether it has members.
    fn object(&mut self, node: usize, first: usize, last: usize) -> Result<bool, Fault> {
        let lens = self.lens;
        let Some(node) = lens.nodes.get(node) else { return Ok(false) };
        let flags = self.written.len();
        self.written.resize(flags + node.writes.len(), false);
        self.out.push(b'{');
        let body = self.out.len();
        let mut at = first;
        while let Some(item) = self.items.get(at).filter(|_| at < last) {
            if item.action == RUN {
                self.separate(body);
                self.copy(item.start, item.end);
            } else {
                self.owned(node, item, at, body, flags, (first, last))?;
            }
            at = item.next as usize;
        }
        self.rest(node, body, flags, (first, last))?;
        self.written.truncate(flags);
        let any = self.out.len() > body && self.out.get(body..).is_some_and(|text| !text.iter().all(is_space));
        self.out.push(b'}');
        Ok(any)
    }

    /// Writes one member that an action owns, and what it feeds.
    fn owned(
        &mut self,
        node: &Node,
        item: &Item,
        at: usize,
        body: usize,
        flags: usize,
        items: (usize, usize),
    ) -> Result<(), Fault> {
        let Some(action) = node.actions.get(item.action as usize) else { return Ok(()) };
        match &action.kind {
            ActionKind::Slot { home: Some(home), .. } => {
                if let Some(write) = node.writes.get(*home) {
                    self.separate(body);
                    self.copy(item.start, item.key_start);
                    self.out.extend_from_slice(&write.key);
                    self.copy_after_name(item);
                    self.value(&write.source)?;
                    self.copy(item.value_end, item.end);
                }
                self.mark(flags + home);
            }
            ActionKind::Enter { node: child, group } if self.bytes(item.value_start, item.value_end) != b"null" => {
                let before = self.out.len();
                self.separate(body);
                self.copy(item.start, item.value_start);
                let any = self.object(*child, at + 1, item.next as usize)?;
                self.copy(item.value_end, item.end);
                let closed = self.lens.nodes.get(*child).is_some_and(|child| child.closed);
                if !any && (closed || !self.lens.keeps_emptied) {
                    self.out.truncate(before);
                }
                if let Some(group) = group {
                    self.mark(flags + group);
                }
            }
            _ => {}
        }
        for &index in &action.feeds {
            self.member(node, index, body, flags, items, Some(item))?;
        }
        Ok(())
    }

    /// Copies the colon and the space around it.
    fn copy_after_name(&mut self, item: &Item) {
        let between = self.bytes(item.key_start, item.value_start);
        // The name's own text may hold a colon: what is wanted stands behind its closing quote.
        let colon = between.iter().rposition(|&byte| byte == b'"').map_or(0, |quote| quote + 1);
        let from = item.key_start + u32::try_from(colon).unwrap_or(0);
        self.copy(from, item.value_start);
    }

    fn mark(&mut self, flag: usize) {
        if let Some(done) = self.written.get_mut(flag) {
            *done = true;
        }
    }

    fn separate(&mut self, body: usize) {
        if self.out.len() > body {
            self.out.push(b',');
        }
    }

    /// Writes what no member of the source stood for, before the white space that ends the object.
    fn rest(&mut self, node: &Node, body: usize, flags: usize, items: (usize, usize)) -> Result<(), Fault> {
        if self.written.get(flags..).is_none_or(|done| done.iter().all(|&done| done)) {
            return Ok(());
        }
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
            self.out.truncate(self.out.len() - spaces);
        }
        for index in 0..node.writes.len() {
            self.member(node, index, body, flags, items, None)?;
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
        flags: usize,
        items: (usize, usize),
        instead_of: Option<&Item>,
    ) -> Result<(), Fault> {
        let Some(write) = node.writes.get(index) else { return Ok(()) };
        if self.written.get(flags + index).copied().unwrap_or(true) {
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
            self.copy(item.start, item.key_start);
        }
        self.out.extend_from_slice(&write.key);
        self.out.push(b':');
        if self.value(&write.source)? {
            self.mark(flags + index);
        } else {
            self.out.truncate(before);
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
                return self.bytes(item.value_start, item.value_end) != b"null";
            }
            at = item.next as usize;
        }
        false
    }

    /// Writes a value; answers `false`, having written nothing that counts, where there is none.
    fn value(&mut self, source: &Source) -> Result<bool, Fault> {
        let default = match source {
            Source::Constant(text) => Some(text),
            Source::Group(node) => {
                let nothing = self.items.len();
                return self.object(*node, nothing, nothing);
            }
            Source::Slot { slot, codec, default } => {
                let value = match self.slots.get(*slot) {
                    Some(Slot::Source(start, end)) => self.text.get(*start as usize..*end as usize),
                    Some(Slot::Side(start, end)) => self.side.get(*start..*end),
                    _ => None,
                };
                if value.is_some() || default.is_none() {
                    return codec.convert(self.direction, value, self.out).map_err(|guard| {
                        let name = self.lens.slot_names.get(*slot).map_or("", String::as_str);
                        let mut fault = Fault::guard(guard).within(name);
                        if let Some(Slot::Source(start, _)) = self.slots.get(*slot) {
                            fault.offset = Some(*start as usize);
                        }
                        fault
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
