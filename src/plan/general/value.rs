//! What a translation puts together: parts of the source as they stand, converted texts, and structure around them.

use std::borrow::Cow;

use super::{Fault, FaultKind, Run};
use crate::json::{self, Tree, TreeKind, separate, write_name};

/// A value in the making.
#[derive(Debug, Clone)]
pub(super) enum Out<'a> {
    /// A part of the source.
    Tree(&'a Tree<'a>),
    /// JSON text.
    Text(&'a [u8]),
    Object(Vec<Member<'a>>),
    List(Vec<Out<'a>>),
}

#[derive(Debug, Clone)]
pub(super) struct Member<'a> {
    pub(super) name: Cow<'a, str>,
    /// Members are written in this order: that of what they come from in the source.
    pub(super) order: usize,
    pub(super) value: Out<'a>,
}

/// A step of a place that is written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum At<'a> {
    Name(Cow<'a, str>),
    Index(usize),
    Find(&'a [(Vec<String>, String)]),
    Append,
}

/// For what comes from nowhere in the source.
pub(super) const LAST: usize = usize::MAX;

impl<'a> Out<'a> {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Tree(tree) => out.extend_from_slice(tree.raw),
            Self::Text(text) => out.extend_from_slice(text),
            Self::List(elements) => {
                out.push(b'[');
                for element in elements {
                    separate(out);
                    element.write(out);
                }
                out.push(b']');
            }
            Self::Object(members) => {
                let mut sorted: Vec<&Member<'a>> = members.iter().collect();
                sorted.sort_by_key(|member| member.order);
                out.push(b'{');
                for member in sorted {
                    write_name(&member.name, out);
                    member.value.write(out);
                }
                out.push(b'}');
            }
        }
    }

    pub(super) fn is_null(&self) -> bool {
        match self {
            Self::Tree(tree) => matches!(tree.kind, TreeKind::Null),
            Self::Text(text) => *text == b"null",
            Self::Object(_) | Self::List(_) => false,
        }
    }

    /// Makes the outermost structure of a part of the source changeable.
    pub(super) fn open(&mut self, run: &Run<'a>) -> Result<(), Fault> {
        let is_text = matches!(self, Self::Text(_));
        if let Self::Text(text) = self {
            *self = Self::Tree(run.parse(text)?);
        }
        if let Self::Tree(tree) = self {
            match &tree.kind {
                TreeKind::Object(members) => {
                    let members = members.iter().map(|(name, value)| Member {
                        name: Cow::Borrowed(name),
                        // Where a made text lies in memory says nothing of the document's order.
                        order: if is_text { LAST } else { order(value) },
                        value: Self::Tree(value),
                    });
                    *self = Self::Object(members.collect());
                }
                TreeKind::Array(elements) => *self = Self::List(elements.iter().map(Self::Tree).collect()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Sets the value at a place, making what lies above it.
    pub(super) fn set(&mut self, run: &Run<'a>, path: &[At<'a>], value: Self, order: usize) -> Result<(), Fault> {
        let Some((first, rest)) = path.split_first() else {
            // What a rule makes of the whole joins what is there already.
            if let (Self::Object(_), Self::Object(members)) = (&*self, &value) {
                for member in members.clone() {
                    self.set(run, &[At::Name(member.name)], member.value, member.order)?;
                }
                return Ok(());
            }
            *self = value;
            return Ok(());
        };
        run.spend()?;
        self.open(run)?;
        match first {
            At::Name(name) => {
                if self.is_null() {
                    *self = Self::Object(Vec::new());
                }
                let Self::Object(members) = self else { return Err(occupied(path)) };
                let index = members.iter().position(|member| member.name == *name).unwrap_or_else(|| {
                    members.push(Member { name: name.clone(), order: LAST, value: Self::fresh(rest) });
                    members.len() - 1
                });
                let Some(member) = members.get_mut(index) else { return Ok(()) };
                member.order = member.order.min(order);
                member.value.set(run, rest, value, order)
            }
            At::Index(_) | At::Find(_) | At::Append => {
                if self.is_null() {
                    *self = Self::List(Vec::new());
                }
                let Self::List(elements) = self else { return Err(occupied(path)) };
                let index = match first {
                    At::Index(index) => Some(*index).filter(|index| *index < elements.len()),
                    At::Find(conditions) => position(run, elements, conditions)?,
                    At::Name(_) | At::Append => None,
                };
                let index = if let Some(index) = index {
                    index
                } else {
                    let mut made = Self::fresh(rest);
                    if let At::Find(conditions) = first {
                        made = Self::Object(Vec::new());
                        for (names, value) in *conditions {
                            let path: Vec<At<'a>> = names.iter().map(|name| At::Name(Cow::Borrowed(name))).collect();
                            made.set(run, &path, Self::Text(value.as_bytes()), LAST)?;
                        }
                    }
                    elements.push(made);
                    elements.len() - 1
                };
                let Some(element) = elements.get_mut(index) else { return Ok(()) };
                element.set(run, rest, value, order)
            }
        }
    }

    /// Whether there is an object at a place of names.
    pub(super) fn has(&mut self, run: &Run<'a>, path: &[At<'a>]) -> Result<bool, Fault> {
        let Some((first, rest)) = path.split_first() else {
            self.open(run)?;
            return Ok(matches!(self, Self::Object(_)));
        };
        self.open(run)?;
        let (At::Name(name), Self::Object(members)) = (first, self) else { return Ok(false) };
        match members.iter_mut().find(|member| member.name == *name) {
            Some(member) => member.value.has(run, rest),
            None => Ok(false),
        }
    }

    /// What a missing parent becomes.
    fn fresh(rest: &[At<'a>]) -> Self {
        match rest.first() {
            Some(At::Index(_) | At::Find(_) | At::Append) => Self::List(Vec::new()),
            _ => Self::Object(Vec::new()),
        }
    }

    /// Takes away the value at a place, and parents that this empties.
    pub(super) fn remove(&mut self, run: &Run<'a>, path: &[At<'a>]) -> Result<(), Fault> {
        let Some((first, rest)) = path.split_first() else { return Ok(()) };
        self.open(run)?;
        match (first, self) {
            (At::Name(name), Self::Object(members)) => {
                let Some(index) = members.iter().position(|member| member.name == *name) else { return Ok(()) };
                let Some(member) = members.get_mut(index) else { return Ok(()) };
                if !rest.is_empty() {
                    member.value.remove(run, rest)?;
                    if !member.value.is_emptied() {
                        return Ok(());
                    }
                }
                members.remove(index);
            }
            (At::Index(_) | At::Find(_), Self::List(elements)) => {
                let index = match first {
                    At::Index(index) => Some(*index).filter(|index| *index < elements.len()),
                    At::Find(conditions) => position(run, elements, conditions)?,
                    At::Name(_) | At::Append => None,
                };
                let Some(element) = index.and_then(|index| elements.get_mut(index)) else { return Ok(()) };
                element.remove(run, rest)?;
                if let (true, Some(index)) = (rest.is_empty() || element.is_emptied(), index) {
                    elements.remove(index);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes the order of another document from its members: they stay in the order that they have among themselves.
    pub(super) fn forget_order(&mut self) {
        if let Self::Object(members) = self {
            members.sort_by_key(|member| member.order);
            for member in members {
                member.order = LAST;
            }
        }
    }

    fn is_emptied(&self) -> bool {
        match self {
            Self::Object(members) => members.is_empty(),
            Self::List(elements) => elements.is_empty(),
            Self::Tree(_) | Self::Text(_) => false,
        }
    }
}

/// The element that has the members of a selector.
fn position<'a>(
    run: &Run<'a>,
    elements: &[Out<'a>],
    conditions: &[(Vec<String>, String)],
) -> Result<Option<usize>, Fault> {
    for (index, element) in elements.iter().enumerate() {
        // The element itself stays as it is: its members know their order.
        if has_members(run.settle(element)?, conditions) {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

/// Whether an element has the members of a selector.
pub(super) fn has_members(tree: &Tree<'_>, conditions: &[(Vec<String>, String)]) -> bool {
    conditions.iter().all(|(path, value)| tree.at(path).is_some_and(|found| is_literal(found, value.as_bytes())))
}

/// Whether a value is the one that a JSON text says.
pub(super) fn is_literal(tree: &Tree<'_>, literal: &[u8]) -> bool {
    if tree.raw == literal {
        return true;
    }
    // Another spelling of the same value.
    match (&tree.kind, literal.first()) {
        (TreeKind::String, Some(b'"')) => json::unescape(tree.raw) == json::unescape(literal),
        (TreeKind::Number, Some(b'-' | b'0'..=b'9'))
        | (TreeKind::Object(_) | TreeKind::Array(_), Some(b'{' | b'[')) => {
            Tree::parse(literal, json::MAX_DEPTH).is_ok_and(|other| other.same(tree))
        }
        _ => false,
    }
}

/// Where a part of the source stands: parts compare by it in the order of the document.
pub(super) fn order(tree: &Tree<'_>) -> usize {
    tree.raw.as_ptr() as usize
}

fn occupied(path: &[At<'_>]) -> Fault {
    let place = path.iter().find_map(|at| if let At::Name(name) = at { Some(name.to_string()) } else { None });
    let detail = "a value stands where the rules write a structure";
    Fault::new(FaultKind::Collision, detail).within(&place.unwrap_or_default())
}

impl<'a> Run<'a> {
    /// JSON text as a tree that lives as long as the translation.
    pub(super) fn parse(&self, text: &'a [u8]) -> Result<&'a Tree<'a>, Fault> {
        let tree = Tree::parse(text, json::MAX_DEPTH).map_err(|error| {
            // What a conversion made is not the caller's document: its offsets mean nothing there.
            let mut fault = Fault::from(error);
            fault.offset = None;
            fault
        })?;
        Ok(self.keep(tree))
    }

    /// A value in the making as a finished one.
    pub(super) fn settle(&self, out: &Out<'a>) -> Result<&'a Tree<'a>, Fault> {
        match out {
            Out::Tree(tree) => Ok(tree),
            Out::Text(text) => self.parse(text),
            Out::Object(_) | Out::List(_) => {
                let mut text = Vec::new();
                out.write(&mut text);
                if text.len() > self.limits.output {
                    return Err(Fault::new(FaultKind::TooLarge, "a value in between is larger than the limit"));
                }
                self.parse(self.text(&text))
            }
        }
    }
}
