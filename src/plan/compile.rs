//! Checked rules to lenses. Cannot fail: whatever could has been refused before.

use std::collections::BTreeSet;

use super::fuse::Fused;
use super::keys::Keys;
use super::lens::{Action, ActionKind, Lens, Lenses, Nested, Node, Preparation, Source, Write};
use crate::codecs::{Codec, Direction};
use crate::json::write_string;
use crate::path::Place;
use crate::rules::calls::CheckedCalls;
use crate::rules::checked::{BoundCodec, CheckedKind, CheckedRoute, CheckedStep, CheckedType, TypeId};
use crate::rules::mapping::header_at;

/// The same step with header names in lower case, which is how messages are packed: HTTP's have no case.
pub(super) fn with_plain_headers(step: &CheckedStep) -> CheckedStep {
    let mut step = step.clone();
    let of_calls = step.calls.iter().flat_map(CheckedCalls::messages);
    let routes = step.routes.iter().chain(&step.messages);
    let messages: Vec<TypeId> = routes.flat_map(CheckedRoute::messages).chain(of_calls).collect();
    for of in messages {
        let rules = step.types.get_mut(of.0).map(|of| of.rules.as_mut_slice()).unwrap_or_default();
        for rule in rules.iter_mut() {
            if let CheckedKind::Mapping(mapping) = &mut rule.kind {
                mapping.fold_headers();
            }
        }
        for place in rules.iter_mut().flat_map(|rule| places(&mut rule.kind)) {
            let name = header_at(&place.segments).and_then(|at| place.segments.get_mut(at + 1));
            if let Some(name) = name {
                name.make_ascii_lowercase();
            }
        }
    }
    step
}

pub(super) fn places(kind: &mut CheckedKind) -> Vec<&mut Place> {
    match kind {
        CheckedKind::Equation { olds, news, .. } => olds.iter_mut().chain(news).collect(),
        CheckedKind::Added { place, .. } | CheckedKind::Removed { place, .. } => vec![place],
        // The general engine's own compiler sees to these.
        CheckedKind::Mapping(_) => Vec::new(),
    }
}

/// All types of a step in one direction: first as whole documents, then, in the same order, as partial ones (the body of
/// a PATCH), where a member that is not there is left alone rather than filled in.
pub(super) fn compile_lenses(step: &CheckedStep, direction: Direction) -> Lenses {
    let whole = step.types.iter().map(|of| compile_lens(of, direction, None));
    let count = step.types.len();
    Lenses::new(whole.chain(step.types.iter().map(|of| compile_lens(of, direction, Some(count)))).collect())
}

/// Compiles one direction of one type; `partial` is where partial types begin, if this is one.
fn compile_lens(of: &CheckedType, direction: Direction, partial: Option<usize>) -> Lens {
    let mut draft = Draft { partial, ..Draft::default() };
    draft.node(&[]);
    for rule in &of.rules {
        draft.rule(&rule.kind, direction);
    }
    draft.finish(direction)
}

/// As [`compile_lenses`], for types that say several steps in one.
pub(super) fn compile_fused(types: &[Fused], direction: Direction) -> Lenses {
    let lens = |of: &Fused, partial| {
        let mut draft = Draft { partial, is_fused: true, ..Draft::default() };
        draft.node(&[]);
        for kind in &of.rules {
            draft.rule(kind, direction);
        }
        // What the versions between have a name for, no unnamed member may have on its way through them.
        for place in of.taken(direction) {
            draft.reserve(place);
        }
        draft.finish(direction)
    };
    let whole = types.iter().map(|of| lens(of, None));
    Lenses::new(whole.chain(types.iter().map(|of| lens(of, Some(types.len())))).collect())
}

/// A lens in the making.
#[derive(Default)]
struct Draft {
    partial: Option<usize>,
    is_fused: bool,
    nodes: Vec<DraftNode>,
    slot_names: Vec<String>,
    /// Slots that hold results of preparations, counted from the end of the read ones.
    prepared: usize,
    preparations: Vec<(Codec, Vec<usize>, Vec<usize>)>,
    whole_source: Option<(usize, Nested)>,
    whole_target: Option<DraftSource>,
}

#[derive(Default)]
struct DraftNode {
    path: Vec<String>,
    actions: Vec<(String, DraftAction)>,
    writes: Vec<(String, DraftSource)>,
}

#[derive(Clone, Copy)]
enum DraftAction {
    Slot(usize, Nested),
    Enter(usize),
    Taken,
}

enum DraftSource {
    Slot { slot: usize, codec: Codec, default: Option<String> },
    Prepared(usize),
    Constant(String),
    Group(usize),
}

impl Draft {
    /// The node of a path, with every node above it.
    fn node(&mut self, path: &[String]) -> usize {
        if let Some(found) = self.nodes.iter().position(|node| node.path == path) {
            return found;
        }
        self.nodes.push(DraftNode { path: path.to_vec(), ..DraftNode::default() });
        self.nodes.len() - 1
    }

    fn rule(&mut self, kind: &CheckedKind, direction: Direction) {
        match (kind, direction) {
            (CheckedKind::Equation { olds, news, codec, default }, _) => {
                let (sources, targets) = match direction {
                    Direction::Up => (olds, news),
                    Direction::Down => (news, olds),
                };
                self.equation(sources, targets, codec, default.as_deref(), direction);
            }
            (CheckedKind::Added { place, default }, Direction::Up)
            | (CheckedKind::Removed { place, default }, Direction::Down) => {
                if let Some(text) = default.as_ref().filter(|_| self.partial.is_none()) {
                    self.target(place, DraftSource::Constant(text.clone()));
                } else {
                    self.reserve(place);
                }
            }
            (CheckedKind::Added { place, .. }, Direction::Down)
            | (CheckedKind::Removed { place, .. }, Direction::Up) => {
                self.source(place, Nested::No);
            }
            // A type with such a rule is translated by the general engine.
            (CheckedKind::Mapping(_), _) => {}
        }
    }

    fn equation(
        &mut self,
        sources: &[Place],
        targets: &[Place],
        codec: &BoundCodec,
        default: Option<&str>,
        direction: Direction,
    ) {
        let (nested, codec) = match codec {
            BoundCodec::Value(codec) => (Nested::No, codec.clone()),
            // A nested object of a partial document is partial; a list replaces the whole list (RFC 7396).
            BoundCodec::As(of) => (Nested::As(TypeId(of.0 + self.partial.unwrap_or(0))), Codec::Same),
            BoundCodec::Each { of, .. } => (Nested::Each(*of), Codec::Same),
        };
        let default = default.filter(|_| self.partial.is_none());
        let unchanged = nested == Nested::No && codec == Codec::Same && default.is_none() && !self.is_fused;
        if unchanged && sources == targets && sources.iter().all(|place| !place.segments.is_empty()) {
            // The same bytes at the same place: exactly what happens to members that no rule names.
            return;
        }
        let slots: Vec<usize> = sources.iter().map(|place| self.source(place, nested)).collect();
        if let ([slot], [target]) = (slots.as_slice(), targets) {
            let default = default.and_then(|text| default_for(text, &codec, nested, direction));
            self.target(target, DraftSource::Slot { slot: *slot, codec, default });
            return;
        }
        let outputs: Vec<usize> = targets.iter().map(|_| self.prepared_slot()).collect();
        for (target, output) in targets.iter().zip(&outputs) {
            self.target(target, DraftSource::Prepared(*output));
        }
        self.preparations.push((codec, slots, outputs));
    }

    fn prepared_slot(&mut self) -> usize {
        self.prepared += 1;
        self.prepared - 1
    }

    /// Makes a place of the source readable; answers its slot.
    fn source(&mut self, place: &Place, nested: Nested) -> usize {
        let slot = self.slot_names.len();
        self.slot_names.push(place.segments.join("."));
        let Some((name, parents)) = place.segments.split_last() else {
            self.whole_source = Some((slot, nested));
            return slot;
        };
        let node = self.enter(parents);
        if let Some(node) = self.nodes.get_mut(node) {
            node.actions.push((name.clone(), DraftAction::Slot(slot, nested)));
        }
        slot
    }

    /// The node of a source path, entered from every node above it.
    fn enter(&mut self, path: &[String]) -> usize {
        let mut node = self.node(&[]);
        for (depth, name) in path.iter().enumerate() {
            let child = self.node(path.get(..=depth).unwrap_or_default());
            if let Some(parent) = self.nodes.get_mut(node)
                && !parent.actions.iter().any(|(known, _)| known == name)
            {
                parent.actions.push((name.clone(), DraftAction::Enter(child)));
            }
            node = child;
        }
        node
    }

    fn target(&mut self, place: &Place, source: DraftSource) {
        let Some((name, parents)) = place.segments.split_last() else {
            self.whole_target = Some(source);
            return;
        };
        let mut node = self.node(&[]);
        for (depth, parent_name) in parents.iter().enumerate() {
            let child = self.node(parents.get(..=depth).unwrap_or_default());
            if let Some(parent) = self.nodes.get_mut(node)
                && !parent.writes.iter().any(|(known, _)| known == parent_name)
            {
                parent.writes.push((parent_name.clone(), DraftSource::Group(child)));
            }
            node = child;
        }
        if let Some(node) = self.nodes.get_mut(node) {
            node.writes.push((name.clone(), source));
        }
    }

    /// Keeps a place of the target free: an added or removed place without default is not written, and no member that
    /// happens to have its name may slip in.
    fn reserve(&mut self, place: &Place) {
        let Some((name, parents)) = place.segments.split_last() else { return };
        let node = self.enter(parents);
        if let Some(node) = self.nodes.get_mut(node)
            && !node.actions.iter().any(|(known, _)| known == name)
        {
            node.actions.push((name.clone(), DraftAction::Taken));
        }
    }

    fn finish(mut self, direction: Direction) -> Lens {
        self.block_taken_names();
        let read = self.slot_names.len();
        let feeds = self.feeds();
        let closed: Vec<bool> = (0..self.nodes.len()).map(|node| self.is_closed(node)).collect();
        let nodes = self.nodes.iter().enumerate().zip(feeds).zip(&closed);
        let nodes =
            nodes.map(|(((index, node), feeds), &closed)| self.compile_node(index, node, feeds, closed)).collect();
        let preparations = self
            .preparations
            .iter()
            .map(|(codec, inputs, outputs)| Preparation {
                codec: codec.clone(),
                inputs: inputs.clone(),
                outputs: outputs.iter().map(|output| read + output).collect(),
            })
            .collect();
        Lens {
            first_shape: 0,
            nodes,
            slots: read + self.prepared,
            whole_source: self.whole_source,
            whole_target: self.whole_target.as_ref().map(|source| self.compile_source(source)),
            partial: self.partial.is_some(),
            fused: self.is_fused,
            preparations,
            keeps_emptied: direction == Direction::Up,
            slot_names: self.slot_names,
        }
    }

    /// Gives every name that is written but not read an action, so that no unnamed member can take its place.
    fn block_taken_names(&mut self) {
        for node in &mut self.nodes {
            for (name, source) in &node.writes {
                if !node.actions.iter().any(|(known, _)| known == name) {
                    let action = match source {
                        DraftSource::Group(child) => DraftAction::Enter(*child),
                        _ => DraftAction::Taken,
                    };
                    node.actions.push((name.clone(), action));
                }
            }
        }
    }

    /// Whether the target has one value of its own where the source has this object.
    fn is_closed(&self, node: usize) -> bool {
        if self.whole_target.is_some() {
            return true;
        }
        let Some((name, parents)) = self.nodes.get(node).and_then(|node| node.path.split_last()) else { return false };
        let parent = self.nodes.iter().find(|node| node.path == parents);
        let writes_value = parent.is_some_and(|parent| {
            parent.writes.iter().any(|(known, source)| known == name && !matches!(source, DraftSource::Group(_)))
        });
        let parent = self.nodes.iter().position(|node| node.path == parents);
        writes_value || parent.is_some_and(|parent| self.is_closed(parent))
    }

    /// For each node and action: the writes of that node that the member feeds.
    fn feeds(&self) -> Vec<Vec<Vec<usize>>> {
        let feed = |node: &DraftNode| {
            let needs: Vec<BTreeSet<usize>> = node.writes.iter().map(|(_, source)| self.needs(source)).collect();
            let fed_by = |action: &DraftAction| {
                let gives = self.gives(action);
                let own = |source: &DraftSource| matches!((action, source), (DraftAction::Enter(node), DraftSource::Group(group)) if node == group);
                let writes = node.writes.iter().zip(&needs).enumerate();
                writes
                    .filter(|(_, ((_, source), needs))| !own(source) && !needs.is_disjoint(&gives))
                    .map(|(index, _)| index)
                    .collect()
            };
            node.actions.iter().map(|(_, action)| fed_by(action)).collect()
        };
        self.nodes.iter().map(feed).collect()
    }

    /// The slots that a write needs.
    fn needs(&self, source: &DraftSource) -> BTreeSet<usize> {
        match source {
            DraftSource::Constant(_) => BTreeSet::new(),
            DraftSource::Slot { slot, .. } => BTreeSet::from([*slot]),
            DraftSource::Prepared(output) => {
                let made = self.preparations.iter().find(|(_, _, outputs)| outputs.contains(output));
                made.map(|(_, inputs, _)| inputs.iter().copied().collect()).unwrap_or_default()
            }
            DraftSource::Group(node) => {
                let writes = self.nodes.get(*node).map(|node| &node.writes);
                writes.into_iter().flatten().flat_map(|(_, source)| self.needs(source)).collect()
            }
        }
    }

    /// The slots that an action fills.
    fn gives(&self, action: &DraftAction) -> BTreeSet<usize> {
        match action {
            DraftAction::Taken => BTreeSet::new(),
            DraftAction::Slot(slot, _) => BTreeSet::from([*slot]),
            DraftAction::Enter(node) => {
                let actions = self.nodes.get(*node).map(|node| &node.actions);
                actions.into_iter().flatten().flat_map(|(_, action)| self.gives(action)).collect()
            }
        }
    }

    fn compile_node(&self, index: usize, node: &DraftNode, feeds: Vec<Vec<usize>>, closed: bool) -> Node {
        let actions = node.actions.iter().zip(feeds).map(|((name, action), feeds)| {
            let write_of =
                |wanted: &dyn Fn(&DraftSource) -> bool| node.writes.iter().position(|(_, source)| wanted(source));
            let kind = match action {
                DraftAction::Taken => ActionKind::Taken,
                DraftAction::Slot(slot, nested) => {
                    let home =
                        write_of(&|source| matches!(source, DraftSource::Slot { slot: from, .. } if from == slot));
                    let renames = home.filter(|home| {
                        let write = node.writes.get(*home).map(|(_, source)| source);
                        *nested == Nested::No && matches!(write, Some(DraftSource::Slot { codec: Codec::Same, .. }))
                    });
                    match renames {
                        Some(write) => ActionKind::Rename { write },
                        None => ActionKind::Slot { slot: *slot, nested: *nested, home },
                    }
                }
                DraftAction::Enter(child) => {
                    let group = node.writes.iter().position(|(written, source)| {
                        written == name && matches!(source, DraftSource::Group(group) if group == child)
                    });
                    ActionKind::Enter { node: *child, group }
                }
            };
            let home = match kind {
                ActionKind::Slot { home, .. } => home,
                ActionKind::Rename { write } => Some(write),
                ActionKind::Enter { .. } | ActionKind::Taken => None,
            };
            Action { kind, feeds: feeds.into_iter().filter(|index| Some(*index) != home).collect() }
        });
        debug_assert!(index > 0 || node.path.is_empty(), "the first node is the document");
        Node {
            name: node.path.join("."),
            keys: Keys::new(node.actions.iter().map(|(name, _)| name.as_str())),
            actions: actions.collect(),
            writes: node.writes.iter().map(|(name, source)| self.compile_write(name, source)).collect(),
            read: node.actions.iter().any(|(_, action)| !self.gives(action).is_empty()),
            closed,
        }
    }

    fn compile_write(&self, name: &str, source: &DraftSource) -> Write {
        let mut key = Vec::new();
        write_string(name, &mut key);
        Write { key: key.into(), source: self.compile_source(source) }
    }

    fn compile_source(&self, source: &DraftSource) -> Source {
        let bytes = |text: &String| text.as_bytes().into();
        match source {
            DraftSource::Slot { slot, codec, default } => {
                Source::Slot { slot: *slot, codec: codec.clone(), default: default.as_ref().map(bytes) }
            }
            DraftSource::Prepared(output) => {
                Source::Slot { slot: self.slot_names.len() + output, codec: Codec::Same, default: None }
            }
            DraftSource::Constant(text) => Source::Constant(bytes(text)),
            DraftSource::Group(node) => Source::Group(*node),
        }
    }
}

/// The target's value where the source has none. Rules state the new side's; the old side's is what it becomes on the
/// way down.
pub(super) fn default_for(text: &str, codec: &Codec, nested: Nested, direction: Direction) -> Option<String> {
    if direction == Direction::Up || (nested == Nested::No && *codec == Codec::Same) {
        return Some(text.to_owned());
    }
    if nested != Nested::No {
        // A nested document or list is not filled in on the way back: absent says the same.
        return None;
    }
    let mut old = Vec::new();
    let converted = codec.convert(Direction::Down, Some(text.as_bytes()), &mut old);
    converted.ok().filter(|written| *written).and_then(|_| String::from_utf8(old).ok())
}
