//! Whether rules see the request that a response answers. In doubt they do: it only costs time.

use super::{Case, Convert, Derived, From, Mapping, Member, Part, Pattern, When};
use crate::path::Place;
use crate::path::query::Query;

impl<T> Mapping<T> {
    /// Whether it may read anything of the request, types that it refers to left out.
    pub fn sees_request(&self) -> bool {
        let own = match self {
            Self::Equation(one) => one.olds.iter().chain(&one.news).any(place) || one.when.sees_request(),
            Self::Cases(cases) => cases.iter().any(case),
            Self::Derived(Derived { place: own, from, when, .. }) => {
                let made_from = match from {
                    Some(From::Place(from)) => place(from),
                    Some(From::Pattern(from)) => pattern(from),
                    Some(From::Query(from, _)) => query(from),
                    None => false,
                };
                place(own) || made_from || when.sees_request()
            }
            Self::Rest(_) => false,
        };
        own || self.any(&convert)
    }
}

impl When {
    /// Whether it may ask anything of the request.
    pub fn sees_request(&self) -> bool {
        [&self.old, &self.new].into_iter().flatten().any(query)
    }
}

fn place(place: &Place) -> bool {
    // Inside of `[…]` and `{…}` other places are named.
    place.view.is_some() || place.to_string().contains("request")
}

fn query(query: &Query) -> bool {
    // A message has its request among its members; a wildcard or a descent finds it, too.
    let text = query.text();
    text.contains("request") || text.contains('*') || text.contains("..") || text.contains('\\')
}

/// Of one conversion, those inside it left out.
fn convert<T>(via: &Convert<T>) -> bool {
    match via {
        // Relative addresses are resolved against what was asked for.
        Convert::Link => true,
        Convert::Cases(cases) => cases.iter().any(case),
        Convert::Cel(cel) => cel.up.contains("request") || cel.down.contains("request"),
        _ => false,
    }
}

/// Of a case, its conversions left out.
fn case<T>(case: &Case<T>) -> bool {
    case.when.sees_request() || pattern(&case.old) || pattern(&case.new)
}

fn pattern(form: &Pattern) -> bool {
    match form {
        Pattern::Literal(_) | Pattern::Variable(_) => false,
        Pattern::Default(inner) => pattern(inner),
        Pattern::Text(parts) => parts.iter().any(|part| matches!(part, Part::Place(of) if place(of))),
        Pattern::Place(of) => place(of),
        Pattern::Object(members) => members.iter().any(|member| match member {
            Member::Named { value, .. } | Member::Every { value, .. } => pattern(value),
            Member::Rest(_) => false,
        }),
        Pattern::List { first, each, last } => first.iter().chain(each.as_deref()).chain(last).any(pattern),
        Pattern::Set(all) => all.iter().any(pattern),
    }
}
