//! Writing an old document onto a live new one: unchanged is untouched, for general rules.
//!
//! What a rule shows of the live document is compared with what the old document has at the same places. Where both say
//! the same, the live document's places stay as they are; otherwise the old document's are translated and set.

use std::borrow::Cow;
use std::collections::HashSet;

use super::document::Effect;
use super::place::Owned;
use super::rest::{is_reserved, leads_to_reserved};
use super::value::{At, LAST, Out, order};
use super::{Direction, Fault, Rule, RuleKind, Run, TypeId, Via};
use crate::json::{Tree, TreeKind};
use crate::path::Step;

/// What rules have of both documents.
#[derive(Default)]
struct Sides<'a> {
    old: Owned,
    base: Owned,
    /// Places of the live document that rules write, wherever those come from.
    reserved: Vec<&'a [Step]>,
    /// Objects of the new document in which rules write something.
    parents: HashSet<Vec<Cow<'a, str>>>,
}

impl<'a> Sides<'a> {
    fn writes(&mut self, up: &Effect<'a>) {
        self.reserved.extend(&up.reserved);
        for write in &up.writes {
            let mut parent = Vec::new();
            for at in &write.path {
                let At::Name(name) = at else { break };
                if !parent.is_empty() {
                    self.parents.insert(parent.clone());
                }
                parent.push(name.clone());
            }
        }
    }
}

impl<'a> Run<'a> {
    /// One document of a type onto another. Recursion is bounded by the documents' depth.
    pub(super) fn put(&self, of: TypeId, old: &'a Tree<'a>, base: &'a Tree<'a>) -> Result<Out<'a>, Fault> {
        let Some(of_type) = self.general.get(of) else { return Ok(Out::Tree(old)) };
        if !(of_type.takes_all() || old.is_object() && base.is_object()) {
            return self.document(of, Direction::Up, old);
        }
        let mut result = Out::Tree(base);
        let mut owned = Sides::default();
        self.put_rules(&of_type.rules, old, base, &mut owned, &mut result)?;
        if old.is_object() && !owned.old.is_whole(old) {
            self.put_rest(old, &owned, &mut Vec::new(), &mut result)?;
        }
        Ok(result)
    }

    fn put_rules(
        &self,
        rules: &'a [Rule],
        old: &'a Tree<'a>,
        base: &'a Tree<'a>,
        owned: &mut Sides<'a>,
        result: &mut Out<'a>,
    ) -> Result<(), Fault> {
        let mut rules: Vec<&'a Rule> = rules.iter().collect();
        // As when translating: what takes the rest comes last.
        rules.sort_by_key(|rule| super::place::is_patient(rule, 0) || super::place::is_patient(rule, 1));
        for rule in rules {
            if let RuleKind::Derived { .. } = rule.kind {
                // Its own side's value stays, and the old document's is no news.
                let up = self.rule(rule, Direction::Up, old, &owned.old)?;
                let down = self.seen(|| self.rule(rule, Direction::Down, base, &owned.base))?;
                super::document::note(&up, &mut owned.old);
                super::document::note(&down, &mut owned.base);
                continue;
            }
            let up = self.rule(rule, Direction::Up, old, &owned.old)?;
            owned.writes(&up);
            // A live value that the rule cannot read cannot be what the old client saw: its write wins.
            let down = self.seen(|| self.rule(rule, Direction::Down, base, &owned.base));
            super::document::note(&up, &mut owned.old);
            let Ok(down) = down else {
                self.rewrite(rule, up, &Effect::default(), result)?;
                continue;
            };
            super::document::note(&down, &mut owned.base);
            if !self.shows(&down, &up)? {
                self.rewrite(rule, up, &down, result)?;
            }
            if let RuleKind::Cases(cases) = &rule.kind {
                let Some((_, case)) = self.cases(cases, Direction::Up, old)? else { continue };
                if let Some(of) = case.rules.and_then(|of| self.general.get(of)) {
                    self.put_rules(&of.rules, old, base, owned, result)?;
                }
            }
        }
        Ok(())
    }

    /// Whether the live document, seen through a rule, says what the old document says.
    fn shows(&self, down: &Effect<'a>, up: &Effect<'a>) -> Result<bool, Fault> {
        let mut shown = None;
        for write in &down.writes {
            self.join(&mut shown, &write.path, write.value.clone(), write.order)?;
        }
        let mut said = None;
        for found in &up.read {
            if let Some(tree) = found.tree {
                self.join(&mut said, &found.path, Out::Tree(tree), order(tree))?;
            }
        }
        Ok(match (shown, said) {
            (None, None) => true,
            (Some(shown), Some(said)) => self.settle(&shown)?.same(self.settle(&said)?),
            _ => false,
        })
    }

    /// Puts what a rule makes of the old document in place of what it reads of the live one.
    fn rewrite(&self, rule: &'a Rule, up: Effect<'a>, down: &Effect<'a>, result: &mut Out<'a>) -> Result<(), Fault> {
        if let (RuleKind::Equation { via, .. }, [said], [base]) = (&rule.kind, up.read.as_slice(), down.read.as_slice())
            && let (Some(old), Some(live)) = (said.tree, base.tree)
            && let Some(value) =
                self.put_value(via, old, live).map_err(|fault| fault.within(&super::place::shown(&said.path)))?
        {
            let path = base.path.clone();
            return result.set(self, &path, value, order(live));
        }
        for found in down.read.iter().filter(|found| found.tree.is_some()) {
            if found.path.is_empty() {
                *result = Out::Object(Vec::new());
            } else {
                result.remove(self, &found.path)?;
            }
        }
        // Members stand where the live document has them: what the old one is made of lies elsewhere in memory, and
        // comparing the two would order by chance.
        let order = down.read.iter().filter_map(|found| found.tree).map(order).min().unwrap_or(LAST);
        for mut write in up.writes {
            if write.path.is_empty() {
                write.value.forget_order();
            }
            result.set(self, &write.path, write.value, order)?;
        }
        Ok(())
    }

    /// One value onto a live one, where the conversion knows how; nothing where it is simply translated.
    fn put_value(&self, via: &'a Via, old: &'a Tree<'a>, live: &'a Tree<'a>) -> Result<Option<Out<'a>>, Fault> {
        Ok(match (via, &old.kind, &live.kind) {
            (Via::As(of), TreeKind::Object(_), TreeKind::Object(_)) => Some(self.put(*of, old, live)?),
            (Via::Each { of, key: Some(key), .. }, TreeKind::Array(olds), TreeKind::Array(lives)) => {
                Some(self.put_list(of, key, olds, lives)?)
            }
            (Via::Values(of), TreeKind::Object(olds), TreeKind::Object(_)) => {
                let mut made = Vec::new();
                for (name, old) in olds {
                    let value = match live.get(name) {
                        Some(live) => self.put_one(of, old, live)?,
                        None => self.convert(of, Direction::Up, Some(old))?,
                    };
                    if let Some(value) = value {
                        made.push(super::value::Member { name: name.as_ref().into(), order: order(old), value });
                    }
                }
                Some(Out::Object(made))
            }
            _ => None,
        })
    }

    fn put_one(&self, of: &'a Via, old: &'a Tree<'a>, live: &'a Tree<'a>) -> Result<Option<Out<'a>>, Fault> {
        let shown = self.seen(|| self.convert(of, Direction::Down, Some(live)));
        if let Ok(Some(shown)) = shown
            && self.settle(&shown)?.same(old)
        {
            return Ok(Some(Out::Tree(live)));
        }
        match self.put_value(of, old, live)? {
            Some(value) => Ok(Some(value)),
            None => self.convert(of, Direction::Up, Some(old)),
        }
    }

    /// Elements are told apart by a place inside the old ones.
    fn put_list(
        &self,
        of: &'a Via,
        key: &[String],
        olds: &'a [Tree<'a>],
        lives: &'a [Tree<'a>],
    ) -> Result<Out<'a>, Fault> {
        let mut known: Vec<(Vec<u8>, &'a Tree<'a>)> = Vec::with_capacity(lives.len());
        for live in lives {
            let Ok(Some(shown)) = self.seen(|| self.convert(of, Direction::Down, Some(live))) else { continue };
            if let Some(key) = self.settle(&shown)?.at(key) {
                known.push((key.raw.to_vec(), live));
            }
        }
        let mut made = Vec::with_capacity(olds.len());
        let mut seen: HashSet<&[u8]> = HashSet::new();
        for (index, old) in olds.iter().enumerate() {
            let own = old.at(key).map(|tree| tree.raw);
            if let Some(own) = own
                && !seen.insert(own)
            {
                let fault = Fault::guard("two elements have the same key".into());
                return Err(fault.within(&format!("[{index}]")));
            }
            let live = own.and_then(|own| known.iter().find(|(known, _)| known == own)).map(|(_, live)| *live);
            let value = match live {
                Some(live) => self.put_one(of, old, live),
                None => self.convert(of, Direction::Up, Some(old)),
            };
            made.extend(value.map_err(|fault| fault.within(&format!("[{index}]")))?);
        }
        Ok(Out::List(made))
    }

    /// Members that no rule names and that the old document carries.
    fn put_rest(
        &self,
        old: &'a Tree<'a>,
        owned: &Sides<'a>,
        path: &mut Vec<&'a str>,
        result: &mut Out<'a>,
    ) -> Result<(), Fault> {
        for (name, value) in old.members() {
            if owned.old.is_whole(value) {
                continue;
            }
            path.push(name);
            let is_entered = owned.old.is_entered(value);
            let leads = || {
                let names: Vec<Cow<'_, str>> = path.iter().map(|name| Cow::Borrowed(*name)).collect();
                owned.parents.contains(&names) || leads_to_reserved(&owned.reserved, path)
            };
            if !is_entered && is_reserved(&owned.reserved, path) {
                self.unplaced(path)?;
            } else if value.is_object() && (is_entered || leads()) {
                self.put_rest(value, owned, path, result)?;
            } else if !is_entered {
                let path: Vec<At<'a>> = path.iter().map(|name| At::Name((*name).into())).collect();
                result.set(self, &path, Out::Tree(value), LAST)?;
            }
            path.pop();
        }
        Ok(())
    }
}
