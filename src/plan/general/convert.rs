//! How one value changes.

use std::borrow::Cow;

use super::generate::Generator;
use super::place::{Owned, is_kind};
use super::trace::Part;
use super::value::{At, LAST, Member, Out, order};
use super::{Case, Direction, Fault, Run, TypeId, Unfit, Via, side, source_side};
use crate::codecs::Codec;
use crate::json::{Tree, TreeKind};
use crate::rules::mapping::{Entries, Flat};

impl<'a> Run<'a> {
    /// Converts one value; nothing where its place stays absent.
    pub(super) fn convert(
        &self,
        via: &'a Via,
        direction: Direction,
        value: Option<&'a Tree<'a>>,
    ) -> Result<Option<Out<'a>>, Fault> {
        self.spend()?;
        match via {
            Via::Value(Codec::Same) => return Ok(value.map(Out::Tree)),
            Via::Value(codec) => {
                let mut out = Vec::new();
                let written = codec.convert(direction, value.map(|tree| tree.raw), &mut out).map_err(Fault::guard)?;
                self.met_row(codec, direction, value);
                return Ok(written.then(|| Out::Text(self.text(&out))));
            }
            Via::Flip(inner) => {
                let was = self.flipped.replace(!self.flipped.get());
                let made = self.convert(inner, direction.reverse(), value);
                self.flipped.set(was);
                return made;
            }
            Via::Chain(all) => return self.chain(all, direction, value),
            _ => {}
        }
        let Some(tree) = value else { return Ok(None) };
        if let Via::Cases(cases) = via {
            return self.by_case(cases, direction, tree).map(Some);
        }
        if let Via::Is(kind) = via {
            let fault = || Fault::guard("expected a value of another kind".into());
            return is_kind(tree, kind).then_some(Some(Out::Tree(tree))).ok_or_else(fault);
        }
        if matches!(tree.kind, TreeKind::Null) && !matches!(via, Via::Cel(_)) {
            return Ok(Some(Out::Tree(tree)));
        }
        let out = match via {
            Via::As(of) => self.nested(*of, direction, tree)?,
            Via::Each { of, unfit, .. } => self.each(of, unfit, direction, tree)?,
            Via::Values(of) => self.values(of, direction, tree)?,
            Via::OneOrMany(of) => match &tree.kind {
                TreeKind::Array(_) => self.each(of, &Unfit::Refuse, direction, tree)?,
                _ => return self.convert(of, direction, Some(tree)),
            },
            Via::Flatten => match &tree.kind {
                TreeKind::Array(elements) => Out::List(match direction {
                    Direction::Up => {
                        let inner = |one: &'a Tree<'a>| one.elements().unwrap_or(std::slice::from_ref(one));
                        elements.iter().flat_map(inner).map(Out::Tree).collect()
                    }
                    Direction::Down => elements.iter().map(|one| Out::List(vec![Out::Tree(one)])).collect(),
                }),
                _ => return Err(Fault::guard("expected a list".into())),
            },
            Via::Link => self.link(direction, tree)?,
            Via::Entries(entries) => self.entries(entries, direction, tree)?,
            Via::Flat(flat) => match direction {
                Direction::Up => self.unflatten(flat, tree)?,
                Direction::Down => self.flatten(flat, tree)?,
            },
            Via::Names { of, style, list } => self.names(*of, *style, list.as_deref(), direction, tree)?,
            Via::Cel(programs) => self.calculate(programs, direction, tree)?,
            Via::Value(_) | Via::Flip(_) | Via::Chain(_) | Via::Cases(_) | Via::Is(_) => Out::Tree(tree),
        };
        Ok(Some(out))
    }

    fn chain(
        &self,
        all: &'a [Via],
        direction: Direction,
        value: Option<&'a Tree<'a>>,
    ) -> Result<Option<Out<'a>>, Fault> {
        let mut current = value.map(Out::Tree);
        let begin = self.mark();
        let mut step = |via: &'a Via| -> Result<(), Fault> {
            // What the step before wrote is input to this one, and no place of the target.
            self.nowhere(begin);
            let tree = current.as_ref().map(|out| self.settle(out)).transpose()?;
            current = self.convert(via, direction, tree)?;
            Ok(())
        };
        match direction {
            Direction::Up => all.iter().try_for_each(&mut step)?,
            Direction::Down => all.iter().rev().try_for_each(&mut step)?,
        }
        Ok(current)
    }

    /// A document inside a document, or a whole one: only objects have members, so any other value passes as it is where
    /// no rule takes the whole.
    pub(super) fn nested(&self, of: TypeId, direction: Direction, tree: &'a Tree<'a>) -> Result<Out<'a>, Fault> {
        let takes_all = self.general.get(of).is_some_and(super::Type::takes_all);
        if tree.is_object() || takes_all { self.document(of, direction, tree) } else { Ok(Out::Tree(tree)) }
    }

    fn each(&self, of: &'a Via, unfit: &'a Unfit, direction: Direction, tree: &'a Tree<'a>) -> Result<Out<'a>, Fault> {
        let Some(elements) = tree.elements() else {
            // A type's rules speak of documents; what is none passes. A value that must be converted may not.
            let passes = matches!(of, Via::As(_));
            return passes.then_some(Out::Tree(tree)).ok_or_else(|| Fault::guard("expected a list".into()));
        };
        let mut made = Vec::with_capacity(elements.len());
        for (index, element) in elements.iter().enumerate() {
            let mark = self.mark();
            match self.convert(of, direction, Some(element)) {
                Ok(one) => {
                    self.inside(mark, || format!("[{index}]"));
                    made.extend(one);
                }
                Err(fault) => {
                    made.extend(self.unfit(unfit, direction, Some(element), fault.within(&format!("[{index}]")))?);
                }
            }
        }
        Ok(Out::List(made))
    }

    fn values(&self, of: &'a Via, direction: Direction, tree: &'a Tree<'a>) -> Result<Out<'a>, Fault> {
        let TreeKind::Object(members) = &tree.kind else {
            let passes = matches!(of, Via::As(_));
            return passes.then_some(Out::Tree(tree)).ok_or_else(|| Fault::guard("expected an object".into()));
        };
        let mut made = Vec::with_capacity(members.len());
        for (name, value) in members {
            let mark = self.mark();
            let value_made = self.convert(of, direction, Some(value)).map_err(|fault| fault.within(name))?;
            self.inside(mark, || name.to_string());
            if let Some(value_made) = value_made {
                made.push(Member { name: Cow::Borrowed(name), order: order(value), value: value_made });
            }
        }
        Ok(Out::Object(made))
    }

    /// The first case whose form fits; what the form does not name of an object passes.
    fn by_case(&self, cases: &'a [Case], direction: Direction, tree: &'a Tree<'a>) -> Result<Out<'a>, Fault> {
        let mut reason = None;
        for case in cases {
            let mark = self.mark();
            let fitting = match self.fit(case, direction, tree) {
                Ok(fitting) => fitting,
                Err(fault) => {
                    reason = reason.or(fault);
                    continue;
                }
            };
            self.met(case, Part::Whole);
            let mut owned = Owned::default();
            for found in &fitting.read {
                if let Some(tree) = found.tree {
                    owned.own(tree);
                    found.above.iter().for_each(|above| owned.enter(above));
                }
            }
            if let Some(of) = case.rules {
                return self.document_of_case(case, of, &fitting, owned, direction, tree);
            }
            let generator = Generator { run: self, case, direction };
            let writes = match generator.writes(&fitting.bindings, fitting.first) {
                Ok(writes) => writes,
                Err(fault) => {
                    self.undo(mark);
                    reason = reason.or(Some(fault));
                    continue;
                }
            };
            let mut result = match &tree.kind {
                TreeKind::Object(_) if !owned.is_whole(tree) => self.rest(tree, &owned, &[], &mut Vec::new())?,
                _ => None,
            };
            for write in writes {
                self.join(&mut result, &write.path, write.value, write.order)?;
            }
            return Ok(result.unwrap_or_else(|| Out::Object(Vec::new())));
        }
        if matches!(tree.kind, TreeKind::Null) {
            return Ok(Out::Tree(tree));
        }
        Err(reason.unwrap_or_else(|| Fault::guard("the value fits none of the cases".into())))
    }

    /// A list or dictionary of entries.
    fn entries(&self, entries: &'a Entries, direction: Direction, tree: &'a Tree<'a>) -> Result<Out<'a>, Fault> {
        match direction {
            Direction::Up => {
                let TreeKind::Object(members) = &tree.kind else {
                    return Err(Fault::guard("expected an object".into()));
                };
                let mut members: Vec<_> = members.iter().collect();
                if entries.sort {
                    members.sort_by(|(a, _), (b, _)| a.cmp(b));
                }
                let mut made = Vec::with_capacity(members.len());
                for (name, value) in members {
                    let key = Member {
                        name: Cow::Borrowed(entries.key.as_str()),
                        order: 0,
                        value: Out::Tree(self.string(name)?),
                    };
                    let mut entry = vec![key];
                    if let Some(member) = &entries.value {
                        entry.push(Member {
                            name: Cow::Borrowed(member.as_str()),
                            order: LAST,
                            value: Out::Tree(value),
                        });
                    } else {
                        let TreeKind::Object(inner) = &value.kind else {
                            return Err(Fault::guard("expected an object".into()).within(name));
                        };
                        for (inner_name, inner) in inner {
                            if *inner_name == entries.key {
                                self.unplaced(&[name, inner_name])?;
                                continue;
                            }
                            let name = Cow::Borrowed(inner_name.as_ref());
                            entry.push(Member { name, order: order(inner), value: Out::Tree(inner) });
                        }
                    }
                    made.push(Out::Object(entry));
                }
                Ok(Out::List(made))
            }
            Direction::Down => self.dictionary(entries, tree),
        }
    }

    fn dictionary(&self, entries: &'a Entries, tree: &'a Tree<'a>) -> Result<Out<'a>, Fault> {
        let elements = tree.elements().ok_or_else(|| Fault::guard("expected a list".into()))?;
        let mut made: Vec<Member<'a>> = Vec::with_capacity(elements.len());
        for (index, element) in elements.iter().enumerate() {
            let at = || format!("[{index}]");
            let key = element.get(&entries.key).and_then(Tree::scalar_text);
            let key = key.ok_or_else(|| Fault::guard("expected an entry with a name".into()).within(&at()))?;
            let others = element.members().iter().filter(|(name, _)| *name != entries.key);
            let value = match &entries.value {
                Some(member) => {
                    for (name, _) in others.filter(|(name, _)| name != member) {
                        self.unplaced(&[&at(), name])?;
                    }
                    element.get(member).map(Out::Tree)
                }
                None => Some(Out::Object(
                    others
                        .map(|(name, value)| Member {
                            name: Cow::Borrowed(name.as_ref()),
                            order: order(value),
                            value: Out::Tree(value),
                        })
                        .collect(),
                )),
            };
            let Some(value) = value else {
                return Err(Fault::guard("expected an entry with a value".into()).within(&at()));
            };
            let order = order(element);
            match made.iter_mut().find(|member| member.name == key) {
                Some(member) if entries.last_wins => member.value = value,
                Some(_) => return Err(Fault::guard("two entries of one name".into()).within(&at())),
                None => made.push(Member { name: key, order, value }),
            }
        }
        Ok(Out::Object(made))
    }

    /// A flat form as a tree.
    fn unflatten(&self, flat: &'a Flat, tree: &'a Tree<'a>) -> Result<Out<'a>, Fault> {
        let TreeKind::Object(members) = &tree.kind else { return Err(Fault::guard("expected an object".into())) };
        let mut paths = Vec::with_capacity(members.len());
        for (name, value) in members {
            let path =
                flat.split(name).ok_or_else(|| Fault::guard("expected the name of a flat form".into()).within(name))?;
            paths.push((path, name, value));
        }
        // Elements come in the order of their numbers, whatever the form's.
        paths.sort_by_cached_key(|(path, ..)| {
            path.iter().filter_map(|at| if let At::Index(index) = at { Some(*index) } else { None }).collect::<Vec<_>>()
        });
        let mut made = Out::Object(Vec::new());
        for (path, name, value) in paths {
            made.set(self, &path, Out::Tree(value), order(value)).map_err(|fault| fault.within(name))?;
        }
        Ok(made)
    }

    /// A tree as a flat form.
    fn flatten(&self, flat: &'a Flat, tree: &'a Tree<'a>) -> Result<Out<'a>, Fault> {
        let mut made = Vec::new();
        self.leaves(flat, String::new(), tree, &mut made)?;
        Ok(Out::Object(made))
    }

    fn leaves(&self, flat: &Flat, name: String, tree: &'a Tree<'a>, made: &mut Vec<Member<'a>>) -> Result<(), Fault> {
        self.spend()?;
        match &tree.kind {
            TreeKind::Object(members) => {
                for (inner, value) in members {
                    self.leaves(flat, flat.join(&name, inner), value, made)?;
                }
            }
            TreeKind::Array(elements) => {
                for (index, value) in elements.iter().enumerate() {
                    self.leaves(flat, flat.join_index(&name, index), value, made)?;
                }
            }
            _ => made.push(Member { name: Cow::Owned(name), order: order(tree), value: Out::Tree(tree) }),
        }
        Ok(())
    }
}

impl<'a> Run<'a> {
    /// A value of a case that has rules of its own.
    fn document_of_case(
        &self,
        case: &'a Case,
        of: TypeId,
        fitting: &super::form::Fitting<'a>,
        mut owned: Owned,
        direction: Direction,
        tree: &'a Tree<'a>,
    ) -> Result<Out<'a>, Fault> {
        let Some(of) = self.general.get(of) else { return Ok(Out::Tree(tree)) };
        let generator = Generator { run: self, case, direction };
        let writes = generator.writes(&fitting.bindings, fitting.first)?;
        let drops = *side(&of.drops, source_side(direction));
        self.assemble(&of.rules, drops, writes, &mut owned, direction, tree)
    }
}
