//! The places that rules own, and those that they read.

use super::{From, Mapping, Member, Part, Pattern};
use crate::path::Place;

impl<T> Mapping<T> {
    /// Places that it reads without owning them, and whether each is on the new side.
    pub fn sources(&self) -> Vec<(bool, Place)> {
        let Self::Derived(one) = self else { return Vec::new() };
        let mut places = Vec::new();
        match &one.from {
            Some(From::Place(place)) => places.push(place.clone()),
            Some(From::Pattern(pattern)) => pattern.read(&mut places),
            // A query may lead anywhere.
            Some(From::Query(..)) => {
                places.push(Place::plain(vec!["body".to_owned()], crate::diagnostic::Span::NOWHERE));
            }
            None => {}
        }
        places.into_iter().filter(|place| place.view.is_none()).map(|place| (!one.is_new, place)).collect()
    }

    /// The places that it owns on a side, as far as they are known before a document is seen.
    pub fn places(&self, is_new: bool) -> Vec<Place> {
        match self {
            Self::Equation(one) => if is_new { &one.news } else { &one.olds }.clone(),
            Self::Derived(one) if one.is_new == is_new => vec![one.place.clone()],
            Self::Derived(_) | Self::Rest(_) => Vec::new(),
            Self::Cases(cases) => {
                let mut places = Vec::new();
                for case in cases {
                    let pattern = if is_new { &case.new } else { &case.old };
                    pattern.places(&mut Vec::new(), &mut places);
                }
                places
            }
        }
    }
}

impl Pattern {
    fn read(&self, places: &mut Vec<Place>) {
        match self {
            Self::Place(place) => places.push(place.clone()),
            Self::Text(parts) => places.extend(parts.iter().filter_map(|part| match part {
                Part::Place(place) => Some(place.clone()),
                Part::Text(_) | Part::Variable(_) => None,
            })),
            Self::Object(members) => members.iter().for_each(|member| {
                if let Member::Named { value, .. } | Member::Every { value, .. } = member {
                    value.read(places);
                }
            }),
            Self::List { first, each, last } => {
                first.iter().chain(each.as_deref()).chain(last).for_each(|one| one.read(places));
            }
            Self::Set(all) => all.iter().for_each(|one| one.read(places)),
            Self::Literal(_) | Self::Variable(_) | Self::Default(_) => {}
        }
    }

    /// The outermost places that it speaks of.
    fn places(&self, path: &mut Vec<String>, places: &mut Vec<Place>) {
        let span = crate::diagnostic::Span::NOWHERE;
        match self {
            Self::Object(members) => {
                for member in members {
                    if let Member::Named { name, value, .. } = member {
                        path.push(name.clone());
                        value.places(path, places);
                        path.pop();
                    }
                }
            }
            _ if places.iter().any(|place| place.segments == *path) => {}
            _ => places.push(Place::plain(path.clone(), span)),
        }
    }
}
