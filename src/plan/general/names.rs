//! Texts that name fields: selectors, error pointers, names in flat forms.

use std::borrow::Cow;

use super::value::{At, Out};
use super::{Direction, Fault, RuleKind, Run, TypeId, Via, side, source_side};
use crate::json::Tree;
use crate::path::Step;
use crate::rules::mapping::{Flat, NameStyle};

impl<'a> Run<'a> {
    /// Renames the fields that a text names.
    pub(super) fn names(
        &self,
        of: TypeId,
        style: NameStyle,
        list: Option<&str>,
        direction: Direction,
        tree: &'a Tree<'a>,
    ) -> Result<Out<'a>, Fault> {
        let text = tree.text().ok_or_else(|| Fault::guard("expected the name of a field".into()))?;
        let one = |name: &str| {
            let (sign, name) = match name.strip_prefix(['-', '+']) {
                Some(rest) if style != NameStyle::Pointer => (name.get(..1).unwrap_or_default(), rest),
                _ => ("", name),
            };
            let path: Vec<String> = match style {
                NameStyle::Dots => name.split('.').map(str::to_owned).collect(),
                NameStyle::Pointer => {
                    name.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")).collect()
                }
                NameStyle::Brackets => name.split('[').map(|part| part.trim_end_matches(']').to_owned()).collect(),
            };
            let renamed = self.rename(of, direction, &path);
            let joined = match style {
                NameStyle::Dots => renamed.join("."),
                NameStyle::Pointer => {
                    let escaped = renamed.iter().map(|part| part.replace('~', "~0").replace('/', "~1"));
                    escaped.fold(String::new(), |path, part| path + "/" + &part)
                }
                NameStyle::Brackets => {
                    let mut parts = renamed.iter();
                    let first = parts.next().cloned().unwrap_or_default();
                    parts.fold(first, |text, part| format!("{text}[{part}]"))
                }
            };
            format!("{sign}{joined}")
        };
        let made = match list {
            None => one(&text),
            Some(separator) => text.split(separator).map(one).collect::<Vec<_>>().join(separator),
        };
        Ok(Out::Tree(self.string(&made)?))
    }

    /// A path as the other side names it; what no rule names keeps its name. Indices pass.
    fn rename(&self, of: TypeId, direction: Direction, path: &[String]) -> Vec<String> {
        let Some(of) = self.general.get(of) else { return path.to_vec() };
        let from = source_side(direction);
        for rule in &of.rules {
            let RuleKind::Equation { places, via, .. } = &rule.kind else { continue };
            let (sources, targets) = (side(places, from), side(places, 1 - from));
            let names = |steps: &[Step]| -> Option<Vec<String>> {
                steps.iter().map(|step| if let Step::Name(name) = step { Some(name.clone()) } else { None }).collect()
            };
            let Some(target) = targets.first().and_then(|steps| names(steps)) else { continue };
            for source in sources {
                let Some(source) = names(source) else { continue };
                let Some(rest) = path.strip_prefix(source.as_slice()) else { continue };
                let mut renamed = target;
                renamed.extend(self.rename_inside(via, direction, rest));
                return renamed;
            }
        }
        path.to_vec()
    }

    fn rename_inside(&self, via: &Via, direction: Direction, rest: &[String]) -> Vec<String> {
        match (via, rest) {
            (Via::As(of), rest) => self.rename(*of, direction, rest),
            (Via::Each { of, .. } | Via::Values(of), [index, rest @ ..]) => {
                let mut renamed = vec![index.clone()];
                renamed.extend(self.rename_inside(of, direction, rest));
                renamed
            }
            (_, rest) => rest.to_vec(),
        }
    }
}

impl Flat {
    /// The path that a flat name says; nothing where it says none.
    pub(super) fn split<'n>(&self, name: &'n str) -> Option<Vec<At<'n>>> {
        let is_number = |part: &str| !part.is_empty() && part.len() < 6 && part.bytes().all(|one| one.is_ascii_digit());
        match self {
            Self::Brackets => {
                let (first, rest) = name.split_once('[').unwrap_or((name, ""));
                let mut path = vec![At::Name(Cow::Borrowed(first))];
                if rest.is_empty() {
                    return Some(path);
                }
                for part in rest.strip_suffix(']')?.split("][") {
                    path.push(match part {
                        "" => At::Append,
                        part if is_number(part) => At::Index(part.parse().ok()?),
                        part => At::Name(Cow::Borrowed(part)),
                    });
                }
                Some(path)
            }
            Self::Joined { separator, list } => {
                let mut path = Vec::new();
                let mut parts = name.split(separator.as_str()).peekable();
                while let Some(part) = parts.next() {
                    if list.is_empty() && is_number(part) {
                        path.push(At::Index(part.parse().ok()?));
                    } else if !list.is_empty() && part == list && parts.peek().is_some_and(|next| is_number(next)) {
                        path.push(At::Index(parts.next()?.parse::<usize>().ok()?.checked_sub(1)?));
                    } else {
                        path.push(At::Name(Cow::Borrowed(part)));
                    }
                }
                Some(path)
            }
        }
    }

    /// The flat name of a member.
    pub(super) fn join(&self, above: &str, name: &str) -> String {
        match self {
            _ if above.is_empty() => name.to_owned(),
            Self::Brackets => format!("{above}[{name}]"),
            Self::Joined { separator, .. } => format!("{above}{separator}{name}"),
        }
    }

    /// The flat name of an element.
    pub(super) fn join_index(&self, above: &str, index: usize) -> String {
        match self {
            Self::Brackets => format!("{above}[{index}]"),
            Self::Joined { separator, list } if list.is_empty() => format!("{above}{separator}{index}"),
            Self::Joined { separator, list } => format!("{above}{separator}{list}{separator}{}", index + 1),
        }
    }
}
