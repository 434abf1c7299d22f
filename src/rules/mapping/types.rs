//! The types that rules refer to, and rules with types referred to in another way.

use super::{Case, Convert, Derived, Each, Equation, Mapping, Names, Unfit};
use crate::codecs::Codec;
use crate::path::Place;

impl<T> Each<T> {
    /// The type and key of a list of documents, if that is all that it is.
    #[expect(clippy::result_large_err, reason = "what is no such list is given back, not an error")]
    pub fn into_core(self) -> Result<(T, Option<Place>), Self> {
        match self {
            Self { of: Convert::As(of), key, unfit: Unfit::Refuse } => Ok((of, key)),
            other => Err(other),
        }
    }
}

impl<T> Convert<T> {
    /// No change.
    pub const SAME: Self = Self::Value(Codec::Same);

    /// The types that it refers to.
    pub fn types(&self) -> Vec<&T> {
        match self {
            Self::Value(_)
            | Self::Flatten
            | Self::Link
            | Self::Entries(_)
            | Self::Flat(_)
            | Self::Is(_)
            | Self::Cel(_) => Vec::new(),
            Self::As(of) | Self::Names(Names { of, .. }) => vec![of],
            Self::Each(each) => each.of.types(),
            Self::Values(of) | Self::Flip(of) | Self::OneOrMany(of) => of.types(),
            Self::Chain(all) => all.iter().flat_map(Self::types).collect(),
            Self::Cases(cases) => cases.iter().flat_map(Case::types).collect(),
        }
    }

    /// Whether it has to do with addresses of the service.
    pub fn tells_addresses(&self) -> bool {
        match self {
            Self::Link => true,
            Self::Each(each) => each.of.tells_addresses(),
            Self::Values(of) | Self::Flip(of) | Self::OneOrMany(of) => of.tells_addresses(),
            Self::Chain(all) => all.iter().any(Self::tells_addresses),
            Self::Cases(cases) => cases.iter().any(Case::tells_addresses),
            _ => false,
        }
    }

    /// The same with types referred to in another way; nothing where one cannot be.
    pub fn map<U>(&self, of: &mut dyn FnMut(&T) -> Option<U>) -> Option<Convert<U>> {
        Some(match self {
            Self::Value(codec) => Convert::Value(codec.clone()),
            Self::As(one) => Convert::As(of(one)?),
            Self::Each(each) => {
                Convert::Each(Box::new(Each { of: each.of.map(of)?, key: each.key.clone(), unfit: each.unfit.clone() }))
            }
            Self::Values(one) => Convert::Values(Box::new(one.map(of)?)),
            Self::Chain(all) => Convert::Chain(all.iter().map(|one| one.map(of)).collect::<Option<_>>()?),
            Self::Flip(one) => Convert::Flip(Box::new(one.map(of)?)),
            Self::Cases(cases) => Convert::Cases(cases.iter().map(|case| case.map(of)).collect::<Option<_>>()?),
            Self::OneOrMany(one) => Convert::OneOrMany(Box::new(one.map(of)?)),
            Self::Flatten => Convert::Flatten,
            Self::Link => Convert::Link,
            Self::Entries(entries) => Convert::Entries(entries.clone()),
            Self::Flat(flat) => Convert::Flat(flat.clone()),
            Self::Names(names) => {
                Convert::Names(Names { of: of(&names.of)?, style: names.style, list: names.list.clone() })
            }
            Self::Is(kind) => Convert::Is(kind.clone()),
            Self::Cel(cel) => Convert::Cel(cel.clone()),
        })
    }
}

impl<T> Convert<T> {
    /// Whether `is_one` is true of it, or of a conversion inside it.
    pub(super) fn any(&self, is_one: &dyn Fn(&Self) -> bool) -> bool {
        is_one(self)
            || match self {
                Self::Each(each) => each.of.any(is_one),
                Self::Values(of) | Self::Flip(of) | Self::OneOrMany(of) => of.any(is_one),
                Self::Chain(all) => all.iter().any(|of| of.any(is_one)),
                Self::Cases(cases) => cases.iter().any(|case| case.any(is_one)),
                Self::Value(_)
                | Self::As(_)
                | Self::Flatten
                | Self::Entries(_)
                | Self::Flat(_)
                | Self::Names(_)
                | Self::Is(_)
                | Self::Link
                | Self::Cel(_) => false,
            }
    }
}

impl<T> Case<T> {
    fn any(&self, is_one: &dyn Fn(&Convert<T>) -> bool) -> bool {
        self.with.iter().any(|(_, convert)| convert.any(is_one))
    }

    /// The types that it refers to.
    pub fn types(&self) -> Vec<&T> {
        self.with.iter().flat_map(|(_, convert)| convert.types()).chain(&self.rules).collect()
    }

    fn tells_addresses(&self) -> bool {
        self.with.iter().any(|(_, convert)| convert.tells_addresses())
    }

    fn map<U>(&self, of: &mut dyn FnMut(&T) -> Option<U>) -> Option<Case<U>> {
        let with = self.with.iter().map(|(name, convert)| Some((name.clone(), convert.map(of)?)));
        Some(Case {
            when: self.when.clone(),
            old: self.old.clone(),
            new: self.new.clone(),
            with: with.collect::<Option<_>>()?,
            rules: match &self.rules {
                None => None,
                Some(rules) => Some(of(rules)?),
            },
        })
    }
}

impl<T> Mapping<T> {
    /// Whether it works out values by an expression, the last resort.
    pub fn has_expression(&self) -> bool {
        self.any(&|convert| matches!(convert, Convert::Cel(_)))
    }

    /// Whether `is_one` is true of one of its conversions.
    pub(super) fn any(&self, is_one: &dyn Fn(&Convert<T>) -> bool) -> bool {
        match self {
            Self::Equation(one) => one.via.any(is_one) || one.keys.as_ref().is_some_and(|keys| keys.any(is_one)),
            Self::Cases(cases) => cases.iter().any(|case| case.any(is_one)),
            Self::Derived(one) => one.via.any(is_one),
            Self::Rest(_) => false,
        }
    }

    /// The types that it refers to.
    pub fn types(&self) -> Vec<&T> {
        match self {
            Self::Equation(one) => {
                one.via.types().into_iter().chain(one.keys.iter().flat_map(Convert::types)).collect()
            }
            Self::Cases(cases) => cases.iter().flat_map(Case::types).collect(),
            Self::Derived(one) => one.via.types(),
            Self::Rest(_) => Vec::new(),
        }
    }

    /// Whether it has to do with addresses of the service.
    pub fn tells_addresses(&self) -> bool {
        match self {
            Self::Equation(one) => one.via.tells_addresses() || one.keys.iter().any(Convert::tells_addresses),
            Self::Cases(cases) => cases.iter().any(Case::tells_addresses),
            Self::Derived(one) => one.via.tells_addresses(),
            Self::Rest(_) => false,
        }
    }

    /// The same with types referred to in another way; nothing where one cannot be.
    pub fn map<U>(&self, of: &mut dyn FnMut(&T) -> Option<U>) -> Option<Mapping<U>> {
        Some(match self {
            Self::Equation(one) => Mapping::Equation(Equation {
                olds: one.olds.clone(),
                news: one.news.clone(),
                via: one.via.map(of)?,
                default: one.default.clone(),
                unfit: one.unfit.clone(),
                when: one.when.clone(),
                keys: match &one.keys {
                    None => None,
                    Some(keys) => Some(keys.map(of)?),
                },
                only: one.only.clone(),
            }),
            Self::Cases(cases) => Mapping::Cases(cases.iter().map(|case| case.map(of)).collect::<Option<_>>()?),
            Self::Derived(one) => Mapping::Derived(Derived {
                is_new: one.is_new,
                place: one.place.clone(),
                from: one.from.clone(),
                via: one.via.map(of)?,
                default: one.default.clone(),
                unfit: one.unfit.clone(),
                when: one.when.clone(),
            }),
            Self::Rest(rest) => Mapping::Rest(*rest),
        })
    }
}
