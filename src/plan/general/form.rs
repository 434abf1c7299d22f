//! Reading a value by its form: does it fit, and what do the variables stand for?

use std::borrow::Cow;

use super::place::{Found, Owned};
use super::trace::Part;
use super::value::{At, Out, is_literal, order};
use super::{Case, Direction, Fault, Form, FormMember, Repeated, Run, TextPart, side, source_side};
use crate::json::{Tree, TreeKind};

/// What the variables of a form stand for; repetitions hold one more of these for each element.
#[derive(Debug, Default)]
pub(super) struct Bindings<'a> {
    pub(super) variables: Vec<(usize, Bound<'a>)>,
    pub(super) repeated: Vec<(usize, Vec<Bindings<'a>>)>,
}

/// What one variable stands for, as the target has it.
#[derive(Debug, Clone)]
pub(super) struct Bound<'a> {
    pub(super) value: Out<'a>,
    /// Where it stood.
    pub(super) order: usize,
}

/// A document that fits a case.
#[derive(Debug)]
pub(super) struct Fitting<'a> {
    pub(super) bindings: Bindings<'a>,
    /// Values that the form speaks of.
    pub(super) read: Vec<Found<'a>>,
    pub(super) first: usize,
}

/// Why a value does not fit; a fault of its own where it came close.
type Misfit = Option<Fault>;

struct Reader<'r, 'a> {
    run: &'r Run<'a>,
    case: &'a Case,
    direction: Direction,
    /// Where the value is read from the document itself, so that its values are owned.
    read: Vec<Found<'a>>,
    first: usize,
}

impl<'a> Run<'a> {
    /// Reads a document by a case. `Err(None)`: it has another form.
    pub(super) fn fit(&self, case: &'a Case, direction: Direction, tree: &'a Tree<'a>) -> Result<Fitting<'a>, Misfit> {
        self.spend()?;
        let from = source_side(direction);
        if let Some(query) = side(&case.when, from)
            && !query.matches(tree).map_err(|_| Some(too_costly()))?
        {
            self.met(case, Part::Unmet);
            return Err(None);
        }
        let mark = self.mark();
        let mut reader = Reader { run: self, case, direction, read: Vec::new(), first: super::value::LAST };
        let mut bindings = Bindings::default();
        let root = Found {
            tree: Some(tree),
            captures: Vec::new(),
            above: Vec::new(),
            selectors: Vec::new(),
            path: Vec::new(),
        };
        reader.form(side(&case.forms, from), &root, &mut bindings, true).inspect_err(|_| self.undo(mark))?;
        Ok(Fitting { bindings, read: reader.read, first: reader.first })
    }
}

pub(super) fn too_costly() -> Fault {
    Fault::new(super::FaultKind::TooLarge, "a condition needs more steps for this document than the limit")
}

impl<'a> Reader<'_, 'a> {
    /// `open`: members that the form does not name may pass by it.
    fn form(
        &mut self,
        form: &'a Form,
        found: &Found<'a>,
        bindings: &mut Bindings<'a>,
        open: bool,
    ) -> Result<(), Misfit> {
        self.run.spend()?;
        if let Form::Object(members) = form {
            let Some(tree) = found.tree.filter(|tree| tree.is_object()) else { return Err(None) };
            return self.object(members, found, tree, bindings, open);
        }
        if open && found.tree.is_some() {
            self.read.push(found.clone());
        }
        let tree = match (form, found.tree) {
            (Form::Default(_), _) => return Ok(()),
            (_, None) => return Err(None),
            (_, Some(tree)) => tree,
        };
        self.first = self.first.min(order(tree));
        match form {
            Form::Literal(literal) => is_literal(tree, literal).then_some(()).ok_or(None),
            Form::Variable(variable) => self.bind(*variable, tree, bindings),
            Form::Text(parts) => {
                let text = tree.text().ok_or(None)?;
                self.text(parts, &text, order(tree), bindings)
            }
            Form::Place(view, steps) => {
                let side = source_side(self.direction);
                let Some(root) = self.run.view(*view, side) else { return Err(None) };
                let all = self.run.find(steps, root, side, &Owned::default(), None)?;
                let same = all.first().and_then(|found| found.tree).is_some_and(|other| other.same(tree));
                same.then_some(()).ok_or(None)
            }
            Form::List { first, each, last } => self.list(first, each.as_deref(), last, tree, bindings),
            Form::Set(all) => self.set(all, tree, bindings),
            Form::Default(_) | Form::Object(_) => Ok(()),
        }
    }

    fn bind(&mut self, variable: usize, tree: &'a Tree<'a>, bindings: &mut Bindings<'a>) -> Result<(), Misfit> {
        let value = match self.case.with.get(variable).and_then(Option::as_ref) {
            None => Some(Out::Tree(tree)),
            Some(via) => {
                let mark = self.run.mark();
                let value = self.run.convert(via, self.direction, Some(tree)).map_err(Some)?;
                // Where the other form puts it is not known here.
                self.run.nowhere(mark);
                value
            }
        };
        if let Some(value) = value {
            bindings.variables.push((variable, Bound { value, order: order(tree) }));
        }
        Ok(())
    }

    fn text(
        &mut self,
        parts: &'a [TextPart],
        text: &str,
        order: usize,
        bindings: &mut Bindings<'a>,
    ) -> Result<(), Misfit> {
        let mut rest = text;
        let from = source_side(self.direction);
        let mut open: Option<usize> = None;
        for (index, part) in parts.iter().enumerate() {
            let literal: Cow<'_, str> = match part {
                TextPart::Variable(variable) => {
                    open = Some(*variable);
                    continue;
                }
                TextPart::Text(literal) => Cow::Borrowed(literal),
                TextPart::Place(view, steps) => {
                    let root = self.run.view(*view, from).ok_or(None)?;
                    let all = self.run.find(steps, root, from, &Owned::default(), None)?;
                    let tree = all.first().and_then(|found| found.tree).ok_or(None)?;
                    tree.scalar_text().ok_or(None)?
                }
            };
            let is_last = index + 1 == parts.len();
            let (inner, behind) = match open {
                None => ("", rest.strip_prefix(&*literal).ok_or(None)?),
                Some(_) if is_last => (rest.strip_suffix(&*literal).ok_or(None)?, ""),
                Some(_) => rest.split_once(&*literal).ok_or(None)?,
            };
            if let Some(variable) = open.take() {
                self.bind_text(variable, inner, order, bindings)?;
            }
            rest = behind;
        }
        if let Some(variable) = open {
            self.bind_text(variable, rest, order, bindings)?;
            rest = "";
        }
        rest.is_empty().then_some(()).ok_or(None)
    }

    fn bind_text(
        &mut self,
        variable: usize,
        text: &str,
        order: usize,
        bindings: &mut Bindings<'a>,
    ) -> Result<(), Misfit> {
        if text.is_empty() {
            return Err(None);
        }
        let tree = self.run.string(text)?;
        self.bind(variable, tree, bindings)?;
        if let Some((_, bound)) = bindings.variables.last_mut() {
            bound.order = order;
        }
        Ok(())
    }

    fn object(
        &mut self,
        members: &'a [FormMember],
        found: &Found<'a>,
        tree: &'a Tree<'a>,
        bindings: &mut Bindings<'a>,
        open: bool,
    ) -> Result<(), Misfit> {
        let at = |name: &'a str, tree: Option<&'a Tree<'a>>| Found {
            tree,
            captures: Vec::new(),
            selectors: Vec::new(),
            above: found.above.iter().copied().chain([found.tree].into_iter().flatten()).collect(),
            path: found.path.iter().cloned().chain([At::Name(Cow::Borrowed(name))]).collect(),
        };
        let mut taken: Vec<&str> = Vec::new();
        for member in members {
            let FormMember::Named { name, optional, form } = member else { continue };
            taken.push(name);
            let value = tree.get(name);
            if value.is_none() && *optional {
                continue;
            }
            self.form(form, &at(name, value), bindings, open)?;
        }
        let mut swallows = false;
        let takes_all = |member: &FormMember| match member {
            FormMember::Rest(_) => true,
            FormMember::Every { prefix, suffix, .. } => prefix.is_empty() && suffix.is_empty(),
            FormMember::Named { .. } => false,
        };
        if open && members.iter().any(takes_all) {
            // Nothing of the object is left, not even an empty one.
            self.read.push(found.clone());
        }
        for member in members {
            match member {
                FormMember::Named { .. } => {}
                FormMember::Every { prefix, suffix, repeated } => {
                    let mut rows = Vec::new();
                    for (name, value) in tree.members() {
                        let capture =
                            name.strip_prefix(prefix.as_str()).and_then(|rest| rest.strip_suffix(suffix.as_str()));
                        let Some(capture) = capture.filter(|_| !taken.contains(&&**name)) else { continue };
                        taken.push(name);
                        let mut row = Bindings::default();
                        if let Some(key) = repeated.key {
                            let text = self.run.string(capture)?;
                            self.bind(key, text, &mut row)?;
                            if let Some((_, bound)) = row.variables.last_mut() {
                                bound.order = order(value);
                            }
                        }
                        let within = at(name, Some(value));
                        if open {
                            self.read.push(within.clone());
                        }
                        self.form(&repeated.form, &within, &mut row, false)?;
                        rows.push(row);
                    }
                    bindings.repeated.push((repeated.id, rows));
                }
                FormMember::Rest(variable) => {
                    swallows = true;
                    let rest = tree.members().iter().filter(|(name, _)| !taken.contains(&&**name));
                    let rest: Vec<_> = rest.collect();
                    let mut all = Vec::new();
                    for (name, value) in &rest {
                        if open {
                            self.read.push(at(name, Some(value)));
                        }
                        all.push(super::value::Member {
                            name: Cow::Borrowed(name.as_ref()),
                            order: order(value),
                            value: Out::Tree(value),
                        });
                    }
                    let made = self.run.settle(&Out::Object(all))?;
                    self.bind(*variable, made, bindings)?;
                    if let Some((_, bound)) = bindings.variables.last_mut() {
                        bound.order = rest.first().map_or(super::value::LAST, |(_, value)| order(value));
                    }
                }
            }
        }
        if !open && !swallows {
            // In a list or under a variable name nothing may pass by: what is there has no place on the other side.
            for (name, _) in tree.members().iter().filter(|(name, _)| !taken.contains(&&**name)) {
                self.run.unplaced(&[name]).map_err(Some)?;
            }
        }
        Ok(())
    }

    fn list(
        &mut self,
        first: &'a [Form],
        each: Option<&'a Repeated>,
        last: &'a [Form],
        tree: &'a Tree<'a>,
        bindings: &mut Bindings<'a>,
    ) -> Result<(), Misfit> {
        let TreeKind::Array(elements) = &tree.kind else { return Err(None) };
        let middle = elements.len().checked_sub(first.len() + last.len()).ok_or(None)?;
        if each.is_none() && middle > 0 {
            return Err(None);
        }
        let mut rest = elements.iter();
        for form in first {
            self.form(form, &element(rest.next()), bindings, false)?;
        }
        if let Some(repeated) = each {
            let mut rows = Vec::new();
            for one in rest.by_ref().take(middle) {
                let mut row = Bindings::default();
                self.form(&repeated.form, &element(Some(one)), &mut row, false)?;
                rows.push(row);
            }
            bindings.repeated.push((repeated.id, rows));
        }
        for form in last {
            self.form(form, &element(rest.next()), bindings, false)?;
        }
        Ok(())
    }

    /// Elements in any order: each form takes the first that fits it.
    fn set(&mut self, forms: &'a [Form], tree: &'a Tree<'a>, bindings: &mut Bindings<'a>) -> Result<(), Misfit> {
        let TreeKind::Array(elements) = &tree.kind else { return Err(None) };
        if elements.len() > forms.len() {
            return Err(None);
        }
        let mut free: Vec<&'a Tree<'a>> = elements.iter().collect();
        for form in forms {
            let mut fitted = None;
            for (index, one) in free.iter().enumerate() {
                let mut trial = Bindings::default();
                match self.form(form, &element(Some(one)), &mut trial, false) {
                    Ok(()) => {
                        fitted = Some((index, trial));
                        break;
                    }
                    Err(None) => {}
                    Err(fault) => return Err(fault),
                }
            }
            let (index, trial) = fitted.ok_or(None)?;
            free.remove(index);
            bindings.variables.extend(trial.variables);
            bindings.repeated.extend(trial.repeated);
        }
        free.is_empty().then_some(()).ok_or(None)
    }
}

fn element<'a>(tree: Option<&'a Tree<'a>>) -> Found<'a> {
    Found { tree, captures: Vec::new(), above: Vec::new(), selectors: Vec::new(), path: Vec::new() }
}

impl<'a> Run<'a> {
    /// A text as a value.
    pub(super) fn string(&self, text: &str) -> Result<&'a Tree<'a>, Fault> {
        let mut json = Vec::with_capacity(text.len() + 2);
        crate::json::write_string(text, &mut json);
        self.parse(self.text(&json))
    }
}
