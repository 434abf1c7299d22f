//! One document by the rules of its type.

use std::borrow::Cow;

use super::form::too_costly;
use super::generate::Generator;
use super::place::{Found, Owned, patience, shown};
use super::trace::Part;
use super::value::{At, LAST, Out, order};
use super::{Case, Direction, Fault, From, Rule, RuleKind, Run, TypeId, Unfit, Via, side, source_side};
use crate::json::{Tree, TreeKind};
use crate::path::Step;

/// What a rule does to one document.
#[derive(Debug, Default)]
pub(super) struct Effect<'a> {
    /// Values of the source that it owns.
    pub(super) read: Vec<Found<'a>>,
    pub(super) writes: Vec<Write<'a>>,
    /// The rule's number: what rules write into a list stands in their order.
    pub(super) rule: usize,
    /// Places of the target that are its own, whether or not it writes them now.
    pub(super) reserved: Vec<&'a [Step]>,
}

#[derive(Debug)]
pub(super) struct Write<'a> {
    pub(super) path: Vec<At<'a>>,
    pub(super) value: Out<'a>,
    pub(super) order: usize,
}

impl<'a> Run<'a> {
    /// Translates one document of a type.
    pub(super) fn document(&self, of: TypeId, direction: Direction, tree: &'a Tree<'a>) -> Result<Out<'a>, Fault> {
        self.spend()?;
        let Some(of) = self.general.get(of) else { return Ok(Out::Tree(tree)) };
        let drops = *side(&of.drops, source_side(direction));
        self.assemble(&of.rules, drops, Vec::new(), &mut Owned::default(), direction, tree)
    }

    /// The target of a document: what rules leave of it, and what they write. `writes` are there already.
    pub(super) fn assemble(
        &self,
        rules: &'a [Rule],
        mut drops: bool,
        writes: Vec<Write<'a>>,
        owned: &mut Owned,
        direction: Direction,
        tree: &'a Tree<'a>,
    ) -> Result<Out<'a>, Fault> {
        let mut effects = vec![Effect { writes, ..Effect::default() }];
        self.effects(rules, direction, tree, owned, &mut effects, &mut drops)?;
        effects.sort_by_key(|effect| effect.rule);
        let reserved: Vec<&'a [Step]> = effects.iter().flat_map(|effect| effect.reserved.iter().copied()).collect();
        let mut result = match &tree.kind {
            _ if drops || owned.is_whole(tree) => None,
            TreeKind::Object(_) => self.rest(tree, owned, &reserved, &mut Vec::new())?,
            _ => Some(self.pass(tree)),
        };
        let mut found: Vec<Vec<At<'a>>> = Vec::new();
        for Write { mut path, mut value, order } in effects.into_iter().flat_map(|effect| effect.writes) {
            if let (Some(At::Append), false) = (path.last(), found.is_empty()) {
                self.meet(&found, &mut path, &mut value)?;
            }
            if let Some(at) = path.iter().position(|at| matches!(at, At::Find(_))) {
                found.extend(path.get(..=at).map(<[At<'a>]>::to_vec));
            }
            self.join(&mut result, &path, value, order)?;
        }
        Ok(result.unwrap_or_else(|| Out::Object(Vec::new())))
    }

    /// An element of the rest of a list that another rule has made already is that one, not a second.
    fn meet(&self, found: &[Vec<At<'a>>], path: &mut Vec<At<'a>>, value: &mut Out<'a>) -> Result<(), Fault> {
        let Some((_, list)) = path.split_last() else { return Ok(()) };
        let beside = found.iter().filter_map(|path| path.split_last()).filter(|(_, above)| *above == list);
        let tree = self.settle(value)?;
        for (at, _) in beside {
            if let At::Find(conditions) = at
                && super::value::has_members(tree, conditions)
            {
                *value = Out::Tree(tree);
                value.open(self)?;
                if let Some(last) = path.last_mut() {
                    *last = at.clone();
                }
                return Ok(());
            }
        }
        Ok(())
    }

    /// Adds one written value to a document.
    pub(super) fn join(
        &self,
        result: &mut Option<Out<'a>>,
        path: &[At<'a>],
        value: Out<'a>,
        order: usize,
    ) -> Result<(), Fault> {
        if path.is_empty()
            && let Some(Out::Object(left)) = &*result
            && !self.settle(&value)?.is_object()
        {
            // The target is one value of its own: members that no rule names have nowhere to go.
            for member in left {
                self.unplaced(&[&member.name])?;
            }
        }
        if let (Out::Object(members), false) = (&value, path.is_empty())
            && members.is_empty()
            && result.as_mut().map_or(Ok(false), |result| result.has(self, path))?
        {
            return Ok(());
        }
        let fresh = || match path.first() {
            Some(At::Index(_) | At::Find(_) | At::Append) => Out::List(Vec::new()),
            _ => Out::Object(Vec::new()),
        };
        result.get_or_insert_with(fresh).set(self, path, value, order)
    }

    /// What every rule does: first those that name their places, then those that take what is left.
    fn effects(
        &self,
        rules: &'a [Rule],
        direction: Direction,
        tree: &'a Tree<'a>,
        owned: &mut Owned,
        effects: &mut Vec<Effect<'a>>,
        drops: &mut bool,
    ) -> Result<(), Fault> {
        let from = source_side(direction);
        let mut late: Vec<(usize, usize, &'a Rule)> = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            if let Some(exactness) = patience(rule, from) {
                late.push((exactness, index, rule));
                continue;
            }
            if let RuleKind::Cases(cases) = &rule.kind {
                let Some((mut effect, case)) = self.cases(cases, direction, tree)? else { continue };
                note(&effect, owned);
                effect.rule = index;
                self.met_rule(rule, &effect);
                effects.push(effect);
                let inner = effects.len();
                if let Some(of) = case.rules.and_then(|of| self.general.get(of)) {
                    *drops |= *side(&of.drops, from);
                    self.effects(&of.rules, direction, tree, owned, effects, drops)?;
                }
                effects.iter_mut().skip(inner).for_each(|effect| effect.rule = index);
                continue;
            }
            let mut effect = self.rule(rule, direction, tree, owned)?;
            note(&effect, owned);
            effect.rule = index;
            self.met_rule(rule, &effect);
            effects.push(effect);
        }
        // The most exact pattern owns a name.
        let takes_any = |rule: &Rule| !matches!(&rule.kind, RuleKind::Equation { only: Some(_), .. });
        late.sort_by_key(|(exactness, index, rule)| (usize::MAX - exactness, takes_any(rule), *index));
        for (_, index, rule) in late {
            let mut effect = self.rule(rule, direction, tree, owned)?;
            note(&effect, owned);
            effect.rule = index;
            self.met_rule(rule, &effect);
            effects.push(effect);
        }
        Ok(())
    }

    /// What one rule does; nothing where its condition does not hold.
    pub(super) fn rule(
        &self,
        rule: &'a Rule,
        direction: Direction,
        tree: &'a Tree<'a>,
        owned: &Owned,
    ) -> Result<Effect<'a>, Fault> {
        self.spend()?;
        let from = source_side(direction);
        if let Some(query) = side(&rule.when, from)
            && !query.matches(tree).map_err(|_| too_costly())?
        {
            self.met(rule, Part::Unmet);
            return Ok(Effect::default());
        }
        match &rule.kind {
            RuleKind::Cases(cases) => {
                Ok(self.cases(cases, direction, tree)?.map(|(effect, _)| effect).unwrap_or_default())
            }
            RuleKind::Derived { is_new, place, from: made_from, via, default, unfit } => {
                if usize::from(*is_new) == from {
                    let read = self.find(place, tree, from, owned, None)?;
                    return Ok(Effect { read, ..Effect::default() });
                }
                let mut effect = Effect { reserved: vec![place], ..Effect::default() };
                if self.partial && made_from.is_none() {
                    return Ok(effect);
                }
                let path = self.target(place, 1 - from, &[])?;
                let mark = self.mark();
                let derived = self.derived(made_from.as_ref(), (via, unfit), direction, tree);
                // Where nothing of the source is to blame, the place that cannot be made is what can be told.
                let (value, order) = derived
                    .map_err(|fault| if fault.place.is_empty() { fault.within(&shown(&path)) } else { fault })?;
                let fallback = default.as_ref().filter(|_| !self.partial).map(|text| Out::Text(text.as_bytes()));
                if let Some(value) = value.or(fallback) {
                    self.inside_path(mark, &path);
                    effect.writes.push(Write { path, value, order });
                }
                Ok(effect)
            }
            RuleKind::Equation { places, via, defaults, unfit, keys, only } => {
                let (sources, targets) = (side(places, from), side(places, 1 - from));
                let default = side(defaults, 1 - from).as_ref().filter(|_| !self.partial);
                if let ([source], [target]) = (sources.as_slice(), targets.as_slice()) {
                    let mut effect = Effect { reserved: vec![target], ..Effect::default() };
                    for found in self.find(source, tree, from, owned, only.as_ref())? {
                        self.single(&found, target, (via, unfit, keys.as_ref(), default), direction, &mut effect)?;
                        effect.read.push(found);
                    }
                    return Ok(effect);
                }
                self.several(sources, targets, via, direction, tree)
            }
        }
    }

    /// One value from its place to its place.
    fn single(
        &self,
        found: &Found<'a>,
        target: &'a [Step],
        (via, unfit, keys, default): (&'a Via, &'a Unfit, Option<&'a Via>, Option<&'a String>),
        direction: Direction,
        effect: &mut Effect<'a>,
    ) -> Result<(), Fault> {
        let name = || shown(&found.path);
        let mark = self.mark();
        let value = match self.convert(via, direction, found.tree) {
            Ok(value) => value,
            Err(fault) => self.unfit(unfit, direction, found.tree, fault.within(&name()))?,
        };
        let value = value.or_else(|| default.map(|text| Out::Text(text.as_bytes())));
        let Some(value) = value else { return Ok(()) };
        let mut captures = found.captures.clone();
        if let Some(keys) = keys {
            for (_, capture) in &mut captures {
                let made = self.convert(keys, direction, Some(self.string(capture)?))?;
                let tree = made.map(|made| self.settle(&made)).transpose()?;
                let text = tree.and_then(Tree::text).ok_or_else(|| Fault::guard("a name must be a text".into()))?;
                *capture = Cow::Owned(text.into_owned());
            }
        }
        let order = found.tree.map_or(LAST, order);
        let path = self.target(target, 1 - source_side(direction), &captures)?;
        self.inside_path(mark, &path);
        effect.writes.push(Write { path, value, order });
        Ok(())
    }

    /// What becomes of a value that does not convert.
    pub(super) fn unfit(
        &self,
        unfit: &'a Unfit,
        direction: Direction,
        tree: Option<&'a Tree<'a>>,
        fault: Fault,
    ) -> Result<Option<Out<'a>>, Fault> {
        let text = |text: &'a Option<String>| text.as_ref().map(|text| Out::Text(text.as_bytes()));
        match (unfit, direction) {
            (Unfit::Refuse, _) | (Unfit::Else(_, None), Direction::Up) | (Unfit::Else(None, _), Direction::Down) => {
                Err(fault)
            }
            (Unfit::Drop, _) => {
                self.dropped.set(self.dropped.get() + 1);
                Ok(None)
            }
            (Unfit::Pass, _) => Ok(tree.map(Out::Tree)),
            (Unfit::Else(_, new), Direction::Up) => Ok(text(new)),
            (Unfit::Else(old, _), Direction::Down) => Ok(text(old)),
        }
    }

    /// A conversion between several places.
    fn several(
        &self,
        sources: &'a [super::Steps],
        targets: &'a [super::Steps],
        via: &'a Via,
        direction: Direction,
        tree: &'a Tree<'a>,
    ) -> Result<Effect<'a>, Fault> {
        let from = source_side(direction);
        let mut effect = Effect { reserved: targets.iter().map(Vec::as_slice).collect(), ..Effect::default() };
        let mut found = Vec::new();
        for source in sources {
            found.extend(self.find(source, tree, from, &Owned::default(), None)?.into_iter().next());
        }
        if self.partial && found.iter().all(|one| one.tree.is_none()) {
            return Ok(effect);
        }
        let (codec, direction) = match via {
            Via::Flip(inner) => (inner.as_ref(), direction.reverse()),
            other => (other, direction),
        };
        let Via::Value(codec) = codec else { return Ok(effect) };
        let inputs: Vec<Option<&[u8]>> = found.iter().map(|one| one.tree.map(|tree| tree.raw)).collect();
        let mut outputs = vec![None; targets.len()];
        let mut out = Vec::new();
        let name = || found.first().map(|one| shown(&one.path)).unwrap_or_default();
        codec
            .convert_many(direction, &inputs, &mut outputs, &mut out)
            .map_err(|guard| Fault::guard(guard).within(&name()))?;
        let first = found.iter().filter_map(|one| one.tree).map(order).min().unwrap_or(LAST);
        for (target, written) in targets.iter().zip(outputs) {
            let Some(text) = written.and_then(|(start, end)| out.get(start..end)) else { continue };
            let path = self.target(target, 1 - from, &[])?;
            effect.writes.push(Write { path, value: Out::Text(self.text(text)), order: first });
        }
        effect.read = found;
        Ok(effect)
    }

    /// What the first case that fits does. A document with none of what the cases speak of is none of their business.
    pub(super) fn cases(
        &self,
        cases: &'a [Case],
        direction: Direction,
        tree: &'a Tree<'a>,
    ) -> Result<Option<(Effect<'a>, &'a Case)>, Fault> {
        let mut reason = None;
        for case in cases {
            let mark = self.mark();
            match self.fit(case, direction, tree) {
                Ok(fitting) => {
                    self.met(case, Part::Whole);
                    let generator = Generator { run: self, case, direction };
                    let writes = match generator.writes(&fitting.bindings, fitting.first) {
                        Ok(writes) => writes,
                        Err(fault) => {
                            self.undo(mark);
                            reason = reason.or(Some(fault));
                            continue;
                        }
                    };
                    let effect = Effect { read: fitting.read, writes, ..Effect::default() };
                    return Ok(Some((effect, case)));
                }
                Err(fault) => reason = reason.or(fault),
            }
        }
        let from = source_side(direction);
        let speaks = cases.iter().find_map(|case| side(&case.forms, from).spoken_of(tree));
        match speaks {
            None => Ok(None),
            Some(name) => {
                let fault = reason.unwrap_or_else(|| Fault::guard("the document fits none of the cases".into()));
                Err(if fault.place.is_empty() { fault.within(&name) } else { fault })
            }
        }
    }

    /// What a derived value is, and where it comes from.
    fn derived(
        &self,
        from: Option<&'a From>,
        (via, unfit): (&'a Via, &'a Unfit),
        direction: Direction,
        tree: &'a Tree<'a>,
    ) -> Result<(Option<Out<'a>>, usize), Fault> {
        let (value, order) = match from {
            None => (None, LAST),
            Some(From::Place(view, steps)) => {
                let found = self.read(*view, steps, direction, tree)?;
                // Where the request lies in memory says nothing of the document's order.
                let order = found.filter(|_| view.is_none()).map_or(LAST, order);
                (found.map(Out::Tree), order)
            }
            Some(From::Form(form)) => (self.made(form, direction, tree)?, LAST),
            Some(From::Query(query, reduce)) => {
                let selected = query.select(tree).map_err(|_| too_costly())?;
                (self.reduce(&selected, reduce)?, super::calculate::first_of(&selected))
            }
        };
        let Some(value) = value else { return Ok((None, order)) };
        let value = match via {
            Via::Value(crate::codecs::Codec::Same) => Some(value),
            via => {
                let tree = self.settle(&value)?;
                match self.convert(via, direction, Some(tree)) {
                    Ok(value) => value,
                    Err(fault) => self.unfit(unfit, direction, Some(tree), fault)?,
                }
            }
        };
        Ok((value, order))
    }

    /// The value at a place of the document or the request.
    pub(super) fn read(
        &self,
        view: Option<crate::path::View>,
        steps: &'a [Step],
        direction: Direction,
        tree: &'a Tree<'a>,
    ) -> Result<Option<&'a Tree<'a>>, Fault> {
        let side = source_side(direction);
        let root = match view {
            None => Some(tree),
            view => self.view(view, side),
        };
        let Some(root) = root else { return Ok(None) };
        let found = self.find(steps, root, side, &Owned::default(), None)?;
        Ok(found.first().and_then(|found| found.tree))
    }
}

pub(super) fn note(effect: &Effect<'_>, owned: &mut Owned) {
    for found in &effect.read {
        if let Some(tree) = found.tree {
            owned.own(tree);
            for above in &found.above {
                owned.enter(above);
            }
            for selector in &found.selectors {
                owned.select(selector);
            }
        }
    }
}
