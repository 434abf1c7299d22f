//! Writing a value by its form.
//!
//! What a form read are rows, as of a table: one for each element of the repetition in which its variables stand,
//! nested where repetitions are. Where the other side nests less, outer values repeat in every row; where it nests more,
//! rows of the same outer values are grouped, in the order in which they come.

use super::document::Write;
use super::form::{Bindings, Bound};
use super::place::Owned;
use super::value::{At, LAST, Member, Out};
use super::{Case, Direction, Fault, Form, FormMember, Repeated, Run, TextPart, side, source_side};

/// The bindings from the outermost to the ones of a repetition's element.
type Row<'b, 'a> = Vec<&'b Bindings<'a>>;

pub(super) struct Generator<'g, 'a> {
    pub(super) run: &'g Run<'a>,
    pub(super) case: &'a Case,
    pub(super) direction: Direction,
}

impl<'a> Generator<'_, 'a> {
    /// The values that a form of the target makes, each with its place and where it comes from.
    pub(super) fn writes(&self, bindings: &Bindings<'a>, first: usize) -> Result<Vec<Write<'a>>, Fault> {
        let form = side(&self.case.forms, 1 - source_side(self.direction));
        let mut writes = Vec::new();
        self.spread(form, &[vec![bindings]], first, &mut Vec::new(), &mut writes)?;
        Ok(writes)
    }

    /// Objects of the form are written member by member, so that what the document has there besides stays.
    fn spread(
        &self,
        form: &'a Form,
        rows: &[Row<'_, 'a>],
        first: usize,
        path: &mut Vec<At<'a>>,
        writes: &mut Vec<Write<'a>>,
    ) -> Result<(), Fault> {
        if let Form::Object(members) = form
            && members.iter().all(|member| matches!(member, FormMember::Named { .. }))
            && !members.is_empty()
        {
            for member in members.iter().filter(|member| !member.is_only_read()) {
                let FormMember::Named { name, form, optional } = member else { continue };
                path.push(At::Name(name.as_str().into()));
                let before = writes.len();
                self.spread(form, rows, first, path, writes)?;
                if writes.len() == before && form.is_needed() && !optional {
                    return Err(missing(name));
                }
                path.pop();
            }
            return Ok(());
        }
        let order = match form {
            Form::Variable(variable) => self.value(*variable, rows)?.map_or(first, |bound| bound.order),
            _ => first,
        };
        if matches!(form, Form::Object(members) if members.is_empty()) {
            if !path.is_empty() {
                // At least an empty object; what the document has there besides stays.
                writes.push(Write { path: path.clone(), value: Out::Object(Vec::new()), order });
            }
            return Ok(());
        }
        if let Some(out) = self.form(form, rows)? {
            writes.push(Write { path: path.clone(), value: out, order });
        }
        Ok(())
    }

    /// Nothing where a variable stands for nothing.
    fn form(&self, form: &'a Form, rows: &[Row<'_, 'a>]) -> Result<Option<Out<'a>>, Fault> {
        self.run.spend()?;
        Ok(match form {
            Form::Literal(json) => Some(Out::Text(json)),
            Form::Default(inner) => self.form(inner, rows)?,
            Form::Variable(variable) => self.value(*variable, rows)?.map(|bound| bound.value),
            Form::Text(parts) => self.text(parts, rows)?,
            Form::Place(view, steps) => {
                let from = source_side(self.direction);
                let root = self.run.view(*view, from);
                let tree = match root {
                    None => None,
                    Some(root) => {
                        let found = self.run.find(steps, root, from, &Owned::default(), None)?;
                        found.first().and_then(|found| found.tree)
                    }
                };
                tree.map(Out::Tree)
            }
            Form::Object(members) => self.object(members, rows)?,
            Form::List { first, each, last } => {
                let mut elements = Vec::new();
                for form in first {
                    elements.extend(self.form(form, rows)?);
                }
                if let Some(repeated) = each {
                    for group in self.groups(repeated, rows)? {
                        elements.extend(self.form(&repeated.form, &group)?);
                    }
                }
                for form in last {
                    elements.extend(self.form(form, rows)?);
                }
                Some(Out::List(elements))
            }
            Form::Set(all) => {
                let mut elements = Vec::new();
                for form in all {
                    elements.extend(self.form(form, rows)?);
                }
                Some(Out::List(elements))
            }
        })
    }

    fn object(&self, members: &'a [FormMember], rows: &[Row<'_, 'a>]) -> Result<Option<Out<'a>>, Fault> {
        let mut made = Vec::new();
        for member in members.iter().filter(|member| !member.is_only_read()) {
            match member {
                FormMember::Named { name, form, optional } => match self.form(form, rows)? {
                    Some(value) => made.push(Member { name: name.as_str().into(), order: LAST, value }),
                    None if form.is_needed() && !optional => return Err(missing(name)),
                    None => {}
                },
                FormMember::Every { prefix, suffix, repeated } => {
                    for group in self.groups(repeated, rows)? {
                        let Some(key) = repeated.key else { continue };
                        let Some(bound) = self.value(key, &group)? else { continue };
                        let tree = self.run.settle(&bound.value)?;
                        let text = tree.scalar_text().ok_or_else(|| Fault::guard("a name must be a text".into()))?;
                        let name = format!("{prefix}{text}{suffix}");
                        if made.iter().any(|member: &Member<'a>| member.name == name) {
                            return Err(Fault::guard("two members would have the same name".into()));
                        }
                        if let Some(value) = self.form(&repeated.form, &group)? {
                            made.push(Member { name: name.into(), order: LAST, value });
                        }
                    }
                }
                FormMember::Rest(variable) => {
                    let Some(bound) = self.value(*variable, rows)? else { continue };
                    let tree = self.run.settle(&bound.value)?;
                    for (name, value) in tree.members() {
                        if made.iter().any(|member: &Member<'a>| member.name == *name) {
                            self.run.unplaced(&[name])?;
                            continue;
                        }
                        made.push(Member { name: name.as_ref().into(), order: LAST, value: Out::Tree(value) });
                    }
                }
            }
        }
        Ok(Some(Out::Object(made)))
    }

    fn text(&self, parts: &'a [TextPart], rows: &[Row<'_, 'a>]) -> Result<Option<Out<'a>>, Fault> {
        let mut made = String::new();
        let from = source_side(self.direction);
        for part in parts {
            let tree = match part {
                TextPart::Text(text) => {
                    made.push_str(text);
                    continue;
                }
                TextPart::Variable(variable) => match self.value(*variable, rows)? {
                    None => return Ok(None),
                    Some(bound) => self.run.settle(&bound.value)?,
                },
                TextPart::Place(view, steps) => {
                    let Some(root) = self.run.view(*view, from) else { return Ok(None) };
                    let found = self.run.find(steps, root, from, &Owned::default(), None)?;
                    let Some(tree) = found.first().and_then(|found| found.tree) else { return Ok(None) };
                    tree
                }
            };
            made.push_str(&tree.scalar_text().ok_or_else(|| Fault::guard("a part of a text must be a text".into()))?);
        }
        let mut json = Vec::new();
        crate::json::write_string(&made, &mut json);
        Ok(Some(Out::Text(self.run.text(&json))))
    }

    /// What a variable stands for in a context: the one value that all its rows agree on.
    fn value(&self, variable: usize, rows: &[Row<'_, 'a>]) -> Result<Option<Bound<'a>>, Fault> {
        let Some(path) = self.path(variable) else { return Ok(None) };
        let rows = expand(rows, path);
        let mut agreed: Option<&Bound<'a>> = None;
        for row in &rows {
            let Some(bindings) = row.get(path.len()) else { continue };
            let bound = bindings.variables.iter().find(|(known, _)| *known == variable).map(|(_, bound)| bound);
            match (agreed, bound) {
                (None, bound) => agreed = bound,
                (Some(before), Some(bound)) if self.is_same(before, bound)? => {}
                (Some(_), None) => {}
                (Some(_), Some(_)) => {
                    return Err(Fault::guard("the elements differ where the other side has one value".into()));
                }
            }
        }
        Ok(agreed.cloned())
    }

    fn is_same(&self, a: &Bound<'a>, b: &Bound<'a>) -> Result<bool, Fault> {
        if let (Out::Tree(a), Out::Tree(b)) = (&a.value, &b.value)
            && std::ptr::eq(*a, *b)
        {
            return Ok(true);
        }
        Ok(self.run.settle(&a.value)?.same(self.run.settle(&b.value)?))
    }

    fn path(&self, variable: usize) -> Option<&'a [usize]> {
        side(&self.case.paths, source_side(self.direction)).get(variable)?.as_deref()
    }

    /// The contexts of a repetition's elements.
    fn groups<'b>(&self, repeated: &Repeated, rows: &[Row<'b, 'a>]) -> Result<Vec<Vec<Row<'b, 'a>>>, Fault> {
        let longest = |variables: &[usize]| {
            variables.iter().filter_map(|variable| self.path(*variable)).max_by_key(|path| path.len())
        };
        let direct: Vec<usize> = repeated.key.iter().copied().chain(repeated.variables.iter().copied()).collect();
        let within = repeated.within.iter().filter_map(|variables| longest(variables)).max_by_key(|path| path.len());
        let Some(path) = longest(&direct).or(within) else { return Ok(vec![rows.to_vec()]) };
        let all = expand(rows, path);
        let same_level = |variable: &usize| self.path(*variable).is_some_and(|inner| inner.len() == path.len());
        let is_split =
            repeated.within.iter().flatten().any(same_level) || within.is_some_and(|within| within.len() < path.len());
        if !is_split {
            return Ok(all.into_iter().map(|row| vec![row]).collect());
        }
        // Rows of the same outer values belong together.
        let mut groups: Vec<(Vec<Option<Bound<'a>>>, Vec<Row<'b, 'a>>)> = Vec::new();
        for row in all {
            self.run.spend()?;
            let one = [row];
            let values =
                direct.iter().map(|variable| self.value(*variable, &one)).collect::<Result<Vec<_>, Fault>>()?;
            let [row] = one;
            let mut place = None;
            for (index, (known, _)) in groups.iter().enumerate() {
                let mut same = true;
                for pair in known.iter().zip(&values) {
                    same &= match pair {
                        (None, None) => true,
                        (Some(a), Some(b)) => self.is_same(a, b)?,
                        _ => false,
                    };
                }
                if same {
                    place = Some(index);
                    break;
                }
            }
            match place.and_then(|index| groups.get_mut(index)) {
                Some((_, rows)) => rows.push(row),
                None => groups.push((values, vec![row])),
            }
        }
        Ok(groups.into_iter().map(|(_, rows)| rows).collect())
    }
}

/// A member that a form must have and for which there is no value: the case does not fit.
fn missing(name: &str) -> Fault {
    Fault::guard("a value that the other form needs is missing".into()).within(name)
}

impl Form {
    /// Whether its value must be there where it is written.
    fn is_needed(&self) -> bool {
        !matches!(self, Self::Default(_))
    }
}

impl FormMember {
    /// A constant that may be there, and need not.
    fn is_only_read(&self) -> bool {
        matches!(self, Self::Named { optional: true, form: Form::Literal(_), .. })
    }
}

/// Rows down to the elements of a repetition.
fn expand<'b, 'a>(rows: &[Row<'b, 'a>], path: &[usize]) -> Vec<Row<'b, 'a>> {
    let mut all: Vec<Row<'b, 'a>> = rows.to_vec();
    loop {
        let is_deep = |row: &Row<'b, 'a>| row.len() > path.len();
        if all.iter().all(is_deep) {
            return all;
        }
        let mut next = Vec::new();
        for row in all {
            let (Some(last), Some(id)) = (row.last(), row.len().checked_sub(1).and_then(|depth| path.get(depth)))
            else {
                next.push(row);
                continue;
            };
            let elements = last.repeated.iter().filter(|(known, _)| known == id).flat_map(|(_, elements)| elements);
            next.extend(elements.map(|element| row.iter().copied().chain([element]).collect()));
        }
        all = next;
    }
}
