//! What no rule owns of a document.

use std::borrow::Cow;

use super::place::Owned;
use super::value::{Member, Out, order};
use super::{Fault, Run};
use crate::json::{Tree, TreeKind};
use crate::path::Step;

impl<'a> Run<'a> {
    /// What no rule owns of an object; nothing where rules took all there was.
    pub(super) fn rest(
        &self,
        tree: &'a Tree<'a>,
        owned: &Owned,
        reserved: &[&'a [Step]],
        path: &mut Vec<&'a str>,
    ) -> Result<Option<Out<'a>>, Fault> {
        self.spend()?;
        match &tree.kind {
            TreeKind::Object(members) => {
                let mut kept = Vec::new();
                for (name, value) in members {
                    if owned.is_whole(value) {
                        continue;
                    }
                    path.push(name);
                    let taken = !owned.is_entered(value) && is_reserved(reserved, path);
                    let leads = leads_to_reserved(reserved, path);
                    let value_kept = if taken {
                        self.unplaced(path)?;
                        None
                    } else if owned.is_entered(value) || (leads && value.is_object()) {
                        self.rest(value, owned, reserved, path)?
                    } else {
                        Some(self.pass(value))
                    };
                    path.pop();
                    if let Some(value_kept) = value_kept {
                        kept.push(Member { name: Cow::Borrowed(name), order: order(value), value: value_kept });
                    }
                }
                Ok((!kept.is_empty() || members.is_empty()).then_some(Out::Object(kept)))
            }
            TreeKind::Array(elements) => {
                let mut kept = Vec::new();
                for element in elements.iter().filter(|one| !owned.is_whole(one)) {
                    let element = if owned.is_entered(element) {
                        // An element of which only that is left by which it was found would say nothing any more.
                        let kept = self.rest(element, owned, &[], &mut Vec::new())?;
                        kept.filter(|kept| !holds_only_selectors(kept, owned))
                    } else {
                        Some(self.pass(element))
                    };
                    kept.extend(element);
                }
                Ok((!kept.is_empty() || elements.is_empty()).then_some(Out::List(kept)))
            }
            _ => Ok(Some(self.pass(tree))),
        }
    }
}

fn holds_only_selectors(kept: &Out<'_>, owned: &Owned) -> bool {
    match kept {
        Out::Object(members) => members.iter().all(|member| holds_only_selectors(&member.value, owned)),
        Out::Tree(tree) if owned.is_selector(tree) => true,
        Out::Tree(tree) => {
            tree.is_object()
                && tree.members().iter().all(|(_, value)| owned.is_selector(value))
                && !tree.members().is_empty()
        }
        Out::List(_) | Out::Text(_) => false,
    }
}

/// Whether a rule writes exactly this place.
pub(super) fn is_reserved(reserved: &[&[Step]], path: &[&str]) -> bool {
    reserved.iter().any(|steps| steps.len() == path.len() && fits(steps, path))
}

/// Whether rules write places below this one.
pub(super) fn leads_to_reserved(reserved: &[&[Step]], path: &[&str]) -> bool {
    reserved.iter().any(|steps| {
        steps.len() > path.len() && fits(steps, path) && matches!(steps.get(path.len()), Some(Step::Name(_)))
    })
}

fn fits(steps: &[Step], path: &[&str]) -> bool {
    path.iter().zip(steps).all(|(name, step)| match step {
        Step::Name(known) => known == name,
        _ => false,
    })
}
