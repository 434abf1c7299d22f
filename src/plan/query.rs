//! Queries of messages: what templates ask of them, what rules take and give.

use std::borrow::Cow;
use std::collections::HashMap;

use super::message::{scalar, scalars};
use super::route::{Params, Parts};
use super::{Fault, FaultKind};
use crate::json::Tree;
use crate::path::percent::{self, UNRESERVED};
use crate::path::template::{QueryValue, Template};

/// A query's parameters as on the wire.
pub(super) fn pairs(query: Option<&str>) -> impl Iterator<Item = (&str, &str)> {
    let parts = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    parts.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Percent-decoding with `+` as space, as forms write queries.
pub(super) fn form_decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['+', '%']) {
        return Some(Cow::Borrowed(text));
    }
    percent::decode(&text.replace('+', "%20")).map(Cow::Owned)
}

/// Texts by their names.
pub(super) type Named<'q> = Vec<(Cow<'q, str>, Vec<Cow<'q, str>>)>;

/// Gathers what has the same name, names in the order of their first appearance.
pub(super) fn by_name<'q>(pairs: impl IntoIterator<Item = (Cow<'q, str>, Cow<'q, str>)>) -> Named<'q> {
    let mut named: Named<'q> = Vec::new();
    // A form may have as many names as a body has room for.
    let mut places: HashMap<Cow<'q, str>, usize> = HashMap::new();
    for (name, value) in pairs {
        let place = *places.entry(name.clone()).or_insert(named.len());
        match named.get_mut(place) {
            Some((_, values)) => values.push(value),
            None => named.push((name, vec![value])),
        }
    }
    named
}

/// The query of the target: unnamed parameters as they were, then what the rules give.
pub(super) fn write_query(
    source: Option<&str>,
    (from, to): (&Parts, &Parts),
    given: &[(Cow<'_, str>, Tree<'_>)],
    refuse: bool,
) -> Result<Option<String>, Fault> {
    if !from.names_any("query") && !to.names_any("query") {
        return Ok(source.map(str::to_owned));
    }
    let mut query = String::new();
    let raw = source.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    for pair in raw {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        let name = form_decode(name).unwrap_or(Cow::Borrowed(name));
        if from.names("query", &name) {
            continue;
        }
        if to.names("query", &name) {
            if refuse {
                let detail = "the other interface has another parameter of this name, so it cannot be passed on";
                return Err(Fault::new(FaultKind::Collision, detail).within(&name).within("query"));
            }
            continue;
        }
        append_pair(pair, &mut query);
    }
    for (name, value) in given.iter().filter(|(name, _)| from.names("query", name) || to.names("query", name)) {
        for value in scalars("query", name, value)? {
            let mut pair = String::new();
            percent::encode(name, UNRESERVED, &mut pair);
            pair.push('=');
            percent::encode(&value, UNRESERVED, &mut pair);
            append_pair(&pair, &mut query);
        }
    }
    Ok((!query.is_empty()).then_some(query))
}

/// Whether a query has what a template asks of it.
pub(super) fn has_query(template: &Template, query: Option<&str>) -> bool {
    template.query.iter().all(|(name, wanted)| {
        pairs(query).any(|(known, value)| {
            form_decode(known).as_deref() == Some(name)
                && match wanted {
                    QueryValue::Literal(text) => form_decode(value).as_deref() == Some(text),
                    QueryValue::Param(_) => true,
                }
        })
    })
}

/// A query without what its template names, and the values of the parameters that it names, percent-encoded.
pub(super) fn take_query<'t>(template: &'t Template, query: Option<&str>) -> (Option<String>, Vec<(&'t str, String)>) {
    if template.query.is_empty() {
        return (query.map(str::to_owned), Vec::new());
    }
    let mut rest = String::new();
    let mut params = Vec::new();
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = form_decode(name).unwrap_or(Cow::Borrowed(name));
        match template.query.iter().find(|(known, _)| *known == name) {
            None => append_pair(pair, &mut rest),
            Some((_, QueryValue::Literal(_))) => {}
            Some((_, QueryValue::Param(param))) => params.push((param.as_str(), value.replace('+', "%20"))),
        }
    }
    ((!rest.is_empty()).then_some(rest), params)
}

/// A query with what its template names.
pub(super) fn give_query(
    template: &Template,
    query: Option<&str>,
    params: &Params<'_>,
    given: &[(Cow<'_, str>, Tree<'_>)],
) -> Result<Option<String>, Fault> {
    let mut all = query.unwrap_or_default().to_owned();
    for (name, value) in &template.query {
        let mut pair = String::new();
        percent::encode(name, UNRESERVED, &mut pair);
        pair.push('=');
        match value {
            QueryValue::Literal(text) => percent::encode(text, UNRESERVED, &mut pair),
            QueryValue::Param(param) => {
                let own = given.iter().find(|(known, _)| known == param).map(|(_, value)| value);
                match (own, params.iter().find(|(known, _)| known == param)) {
                    (Some(value), _) => {
                        let text = scalar("query", name, value)?;
                        let missing = || Fault::new(FaultKind::Missing, "there is no value for it");
                        let text = text.ok_or_else(|| missing().within(name).within("query"))?;
                        percent::encode(&text, UNRESERVED, &mut pair);
                    }
                    (None, Some((_, raw))) => {
                        let text = percent::decode(raw).unwrap_or_else(|| (*raw).to_owned());
                        percent::encode(&text, UNRESERVED, &mut pair);
                    }
                    (None, None) => {
                        let missing = Fault::new(FaultKind::Missing, "there is no value for it");
                        return Err(missing.within(name).within("query"));
                    }
                }
            }
        }
        append_pair(&pair, &mut all);
    }
    Ok((!all.is_empty()).then_some(all))
}

fn append_pair(pair: &str, query: &mut String) {
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(pair);
}
