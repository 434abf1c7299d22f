//! Messages as their documents say them.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::json::{MAX_DEPTH, Scanner, Tree, unescape};
use crate::path::percent;
use crate::plan::RequestIn;
use crate::plan::wire::is_json_patch;

/// A request as its document says it.
pub(super) struct Request<'a> {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) headers: Headers,
    pub(super) body: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    pub(super) fn bare(method: Method, path: String) -> Self {
        Self { method, path, query: None, headers: Headers::default(), body: None }
    }

    pub(super) fn parse(members: &Members<'a>, named: Option<&(Method, String)>) -> Result<Self, String> {
        members.refuse_unknown(&["method", "path", "query", "headers", "body"])?;
        let text = |name: &str| match members.tree(name)? {
            None => Ok(None),
            Some(value) => value.text().map(Some).ok_or_else(|| format!("`{name}`: expected a text")),
        };
        let method = match (text("method")?, named) {
            (Some(text), _) => Method::from_bytes(text.as_bytes()).map_err(|_| "`method`: expected a method's name")?,
            (None, Some((method, _))) => method.clone(),
            (None, None) => return Err("`method` is missing".to_owned()),
        };
        let path = match (text("path")?, named) {
            (Some(text), _) if !text.starts_with('/') => return Err("`path`: expected `/…`".to_owned()),
            (Some(text), _) if text.contains(['?', '#']) => {
                return Err("`path`: the query has a member of its own, `query`".to_owned());
            }
            (Some(text), _) => text.into_owned(),
            (None, Some((_, path))) => path.clone(),
            (None, None) => return Err("`path` is missing".to_owned()),
        };
        let query = members.tree("query")?.as_ref().map(parse_query).transpose()?.filter(|query| !query.is_empty());
        let headers = Headers::parse(members.tree("headers")?.as_ref())?;
        Ok(Self { method, path, query, headers, body: members.get("body") })
    }

    pub(super) fn input(&self) -> RequestIn<'_> {
        RequestIn {
            method: &self.method,
            path: &self.path,
            query: self.query.as_deref(),
            headers: &self.headers.map,
            body: self.body,
        }
    }

    /// The JSON Patch that the body is, if it is one: operations on the document that the rules are about.
    pub(super) fn patch(&self) -> Option<&'a [u8]> {
        self.body.filter(|_| is_json_patch(&self.headers.map))
    }

    /// The request without its JSON Patch, which is translated by itself.
    pub(super) fn beside_patch(&self) -> RequestIn<'_> {
        RequestIn { body: self.body.filter(|_| self.patch().is_none()), ..self.input() }
    }
}

/// A message's members, each as its bytes: what rules do not look at is not read.
pub(super) struct Members<'a>(Vec<(Cow<'a, str>, &'a [u8])>);

impl<'a> Members<'a> {
    /// Splits a text that is JSON.
    pub(super) fn parse(text: &'a [u8]) -> Result<Self, String> {
        let mut scanner = Scanner::new(text, MAX_DEPTH);
        scanner.skip_space();
        if scanner.peek() != b'{' {
            return Err("expected a message: an object".to_owned());
        }
        let told = |error: Box<crate::json::Error>| error.to_string();
        scanner.at += 1;
        let mut members: Vec<(Cow<'a, str>, &'a [u8])> = Vec::new();
        loop {
            scanner.skip_space();
            match scanner.peek() {
                b',' => scanner.at += 1,
                b'"' => {
                    let start = scanner.at;
                    scanner.skip_string().map_err(told)?;
                    let name = text.get(start..scanner.at).and_then(unescape).unwrap_or_default();
                    scanner.skip_colon().map_err(told)?;
                    let start = scanner.at;
                    scanner.skip_value(1).map_err(told)?;
                    if members.iter().any(|(known, _)| *known == name) {
                        return Err(format!("`{name}` is there twice"));
                    }
                    members.push((name, text.get(start..scanner.at).unwrap_or_default()));
                }
                _ => return Ok(Self(members)),
            }
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    pub(super) fn tree(&self, name: &str) -> Result<Option<Tree<'a>>, String> {
        let tree = self.get(name).map(|value| Tree::parse(value, MAX_DEPTH));
        tree.transpose().map_err(|error| format!("`{name}`: {error}"))
    }

    pub(super) fn refuse_unknown(&self, known: &[&str]) -> Result<(), String> {
        match self.0.iter().find(|(name, _)| !known.contains(&&**name)) {
            Some((name, _)) => {
                Err(format!("`{name}` is no part of a message ({}); a document goes into `body`", known.join(", ")))
            }
            None => Ok(()),
        }
    }
}

/// One text or several.
fn texts<'t>(place: &str, name: &str, value: &Tree<'t>) -> Result<Vec<Cow<'t, str>>, String> {
    let values = value.elements().unwrap_or(std::slice::from_ref(value));
    let found: Option<Vec<_>> = values.iter().map(Tree::scalar_text).collect();
    found.ok_or_else(|| format!("`{place}.{name}`: expected a text or a list of texts"))
}

/// Decoded values as they stand in an address.
fn parse_query(tree: &Tree<'_>) -> Result<String, String> {
    if !tree.is_object() {
        return Err("`query`: expected an object of texts".to_owned());
    }
    let mut query = String::new();
    for (name, value) in tree.members() {
        for text in texts("query", name, value)? {
            if !query.is_empty() {
                query.push('&');
            }
            percent::encode(name, percent::UNRESERVED, &mut query);
            query.push('=');
            percent::encode(&text, percent::UNRESERVED, &mut query);
        }
    }
    Ok(query)
}

/// A message's headers, and how their names were spelled.
#[derive(Default)]
pub(super) struct Headers {
    pub(super) map: HeaderMap,
    pub(super) spelled: Vec<(HeaderName, String)>,
}

impl Headers {
    pub(super) fn parse(tree: Option<&Tree<'_>>) -> Result<Self, String> {
        let mut headers = Self::default();
        let Some(tree) = tree else { return Ok(headers) };
        if !tree.is_object() {
            return Err("`headers`: expected an object of texts".to_owned());
        }
        for (name, value) in tree.members() {
            let unfit = || format!("`headers.{name}`: expected what a header can carry");
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unfit())?;
            for text in texts("headers", name, value)? {
                headers.map.append(key.clone(), HeaderValue::from_bytes(text.as_bytes()).map_err(|_| unfit())?);
            }
            headers.spelled.push((key, name.to_string()));
        }
        Ok(headers)
    }
}
