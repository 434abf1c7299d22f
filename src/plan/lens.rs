//! One direction of one type, compiled: a read-trie over the source joined with a template of the target.
//!
//! A node stands for the object at one path, the same path on both sides. What the source has there is read by its
//! `actions`; what the target must have there is written by its `writes`. Members that neither names stay where they
//! are.

use std::sync::atomic::{AtomicU64, Ordering};

use super::keys::Keys;
use crate::codecs::Codec;
use crate::rules::checked::TypeId;

/// All types of one step in one direction.
#[derive(Debug)]
pub(super) struct Lenses {
    /// Whole forms by type, then partial forms by type.
    pub(super) by_type: Vec<Lens>,
    /// Names this set among all that were ever compiled in this process.
    pub(super) id: u64,
    /// How many nodes the lenses have in all.
    pub(super) nodes: usize,
}

impl Lenses {
    pub(super) fn new(mut by_type: Vec<Lens>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut nodes = 0;
        for lens in &mut by_type {
            lens.first_shape = nodes;
            nodes += lens.nodes.len();
        }
        Self { by_type, id: NEXT.fetch_add(1, Ordering::Relaxed), nodes }
    }
}

/// One direction of one type.
#[derive(Debug, Default)]
pub(super) struct Lens {
    /// Index of the first node among all nodes of its [`Lenses`].
    pub(super) first_shape: usize,
    /// The first node is the document itself.
    pub(super) nodes: Vec<Node>,
    /// For each slot that is read from the source, its path as people write it; slots behind these hold prepared values.
    pub(super) slot_names: Vec<String>,
    /// How many slots there are in all.
    pub(super) slots: usize,
    /// Conversions between several places, done before anything is written.
    pub(super) preparations: Vec<Preparation>,
    /// The whole document is one slot.
    pub(super) whole_source: Option<(usize, Nested)>,
    /// The whole target is one value.
    pub(super) whole_target: Option<Source>,
    /// The documents are partial: what is not there is left alone.
    pub(super) partial: bool,
    /// It says several steps in one, and takes only documents whose objects are objects with members: what becomes of
    /// others, the steps decide one by one.
    pub(super) fused: bool,
    /// Whether a parent emptied by moves stays as `{}`.
    pub(super) keeps_emptied: bool,
}

/// The object at one path.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Path as people write it, empty for the document.
    pub(super) name: String,
    /// Names of the source members that have an action, by index into `actions`.
    pub(super) keys: Keys,
    pub(super) actions: Vec<Action>,
    pub(super) writes: Vec<Write>,
    /// Rules read places below it, so it may be emptied by moves.
    pub(super) read: bool,
    /// The target has a value of its own at this path, so members that no rule names have nowhere to go.
    pub(super) closed: bool,
}

/// No action: no rule names the member.
pub(super) const NONE: u32 = u32::MAX;

/// How to read a member's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// It joins the run of members that nobody owns.
    Run,
    /// It is one value, to be noted in a slot; a slot that does not exist for what only changes its name.
    Leaf(u32),
    /// As its action says.
    Full,
}

impl Node {
    pub(super) fn read_of(&self, action: u32) -> Read {
        match self.actions.get(action as usize).map(|action| &action.kind) {
            None if !self.closed => Read::Run,
            Some(ActionKind::Rename { .. }) => Read::Leaf(u32::MAX),
            Some(ActionKind::Slot { slot, nested: Nested::No, .. }) => {
                Read::Leaf(u32::try_from(*slot).unwrap_or(u32::MAX))
            }
            None | Some(_) => Read::Full,
        }
    }
}

/// What to do with a source member.
#[derive(Debug)]
pub(super) struct Action {
    pub(super) kind: ActionKind,
    /// Writes of the same node that this member feeds: they appear where it stood.
    pub(super) feeds: Vec<usize>,
}

#[derive(Debug)]
pub(super) enum ActionKind {
    /// A rule owns it: its value goes to this slot. `home` is the write that takes its place, if it stays in its object.
    Slot { slot: usize, nested: Nested, home: Option<usize> },
    /// A rule gives it another name in the same object, and nothing else: the write of this index has the name.
    Rename { write: usize },
    /// Rules own places below it. `group` is the write of the same path, if the target has places there too.
    Enter { node: usize, group: Option<usize> },
    /// No rule reads it, but a rule writes a member of this name.
    Taken,
}

/// How a slot's value is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nested {
    /// As it stands.
    No,
    /// As a document of a type.
    As(TypeId),
    /// As a list of documents of a type.
    Each(TypeId),
}

/// A member of the target.
#[derive(Debug)]
pub(super) struct Write {
    /// The name as a JSON literal, quotes included.
    pub(super) key: Box<[u8]>,
    pub(super) source: Source,
}

/// Where a target value comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// From a slot, through a codec of one value.
    Slot {
        slot: usize,
        codec: Codec,
        /// Its value where the slot is empty.
        default: Option<Box<[u8]>>,
    },
    /// The same for every document.
    Constant(Box<[u8]>),
    /// An object, written by this node.
    Group(usize),
}

/// A conversion between several places.
#[derive(Debug)]
pub(super) struct Preparation {
    pub(super) codec: Codec,
    pub(super) inputs: Vec<usize>,
    pub(super) outputs: Vec<usize>,
}
