//! Header names in rules over messages.

use super::{From, Mapping, Member, Part, Pattern};
use crate::path::{Place, Step};

impl<T> Mapping<T> {
    /// Header names in lower case, which is how messages are packed: HTTP's have no case.
    pub fn fold_headers(&mut self) {
        match self {
            Self::Equation(one) => one.olds.iter_mut().chain(&mut one.news).for_each(fold_place),
            Self::Derived(one) => {
                fold_place(&mut one.place);
                match &mut one.from {
                    Some(From::Place(place)) => fold_place(place),
                    Some(From::Pattern(pattern)) => pattern.fold_places(),
                    Some(From::Query(..)) | None => {}
                }
            }
            Self::Cases(cases) => {
                for case in cases {
                    for pattern in [&mut case.old, &mut case.new] {
                        let Pattern::Object(parts) = pattern else { continue };
                        for part in parts {
                            if let Member::Named { name, value: Pattern::Object(headers), .. } = part
                                && name == "header"
                            {
                                headers.iter_mut().for_each(Member::fold);
                            }
                        }
                    }
                }
            }
            Self::Rest(_) => {}
        }
    }
}

/// Where a place's part `header` stands: first, or behind the name of a call in documents of several answers.
pub(crate) fn header_at(segments: &[String]) -> Option<usize> {
    match segments {
        [part, ..] if part == "header" => Some(0),
        [call, part, ..] if part == "header" && !crate::rules::calls::RESERVED.contains(&call.as_str()) => Some(1),
        _ => None,
    }
}

fn fold_place(place: &mut Place) {
    let Some(at) = header_at(&place.segments) else { return };
    for name in place.segments.iter_mut().skip(at + 1) {
        name.make_ascii_lowercase();
    }
    for step in &mut place.tail {
        if let Step::Pattern { prefix, suffix, .. } | Step::Asked { prefix, suffix, .. } = step {
            prefix.make_ascii_lowercase();
            suffix.make_ascii_lowercase();
        }
    }
}

impl Member {
    fn fold(&mut self) {
        match self {
            Self::Named { name, .. } => name.make_ascii_lowercase(),
            Self::Every { prefix, suffix, .. } => {
                prefix.make_ascii_lowercase();
                suffix.make_ascii_lowercase();
            }
            Self::Rest(_) => {}
        }
    }
}

impl Pattern {
    fn fold_places(&mut self) {
        match self {
            Self::Place(place) => fold_place(place),
            Self::Text(parts) => parts.iter_mut().for_each(|part| {
                if let Part::Place(place) = part {
                    fold_place(place);
                }
            }),
            Self::Object(members) => members.iter_mut().for_each(|member| {
                if let Member::Named { value, .. } | Member::Every { value, .. } = member {
                    value.fold_places();
                }
            }),
            Self::List { first, each, last } => {
                first.iter_mut().chain(each.as_deref_mut()).chain(last).for_each(Self::fold_places);
            }
            Self::Set(all) => all.iter_mut().for_each(Self::fold_places),
            Self::Default(inner) => inner.fold_places(),
            Self::Literal(_) | Self::Variable(_) => {}
        }
    }
}
