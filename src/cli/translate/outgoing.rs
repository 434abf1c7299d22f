//! Messages as documents again, written around their bytes.

use http::HeaderMap;

use super::incoming::{Headers, Members, Request};
use crate::json::{separate, write_name, write_string};
use crate::path::percent;
use crate::plan::{BodyOut, CallOut, RequestOut, ResponseOut};

pub(super) fn write_request(translated: &RequestOut, request: &Request<'_>, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.text("method", translated.method.as_str());
    object.text("path", &translated.path);
    if let Some(query) = &translated.query {
        object.texts("query", decode_query(query));
    }
    object.headers(&translated.headers, &request.headers);
    object.body(&translated.body, request.body);
    object.end();
}

pub(super) fn write_response(translated: &ResponseOut, members: &Members<'_>, headers: &Headers, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.raw("status", translated.status.as_str().as_bytes());
    object.headers(&translated.headers, headers);
    object.body(&translated.body, members.get("body"));
    // The request is as its caller sent it, on both sides of the translation.
    if let Some(request) = members.get("request") {
        object.raw("request", request);
    }
    object.end();
}

/// Calls that one request becomes.
pub(super) fn write_calls(calls: &[CallOut], request: &Request<'_>, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.name("calls");
    object.out.push(b'[');
    for call in calls {
        separate(object.out);
        let mut one = Object::begin(object.out);
        one.text("name", &call.name);
        one.name("request");
        write_request(&call.request, request, one.out);
        one.end();
    }
    object.out.push(b']');
    object.end();
}

/// A response that was made of several answers.
pub(super) fn write_answer(response: &ResponseOut, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.raw("status", response.status.as_str().as_bytes());
    object.headers(&response.headers, &Headers::default());
    object.body(&response.body, None);
    object.end();
}

/// Names in the order of their first appearance, each with its decoded values.
fn decode_query(query: &str) -> Vec<(String, Vec<String>)> {
    let decode = |text: &str| percent::decode(&text.replace('+', "%20")).unwrap_or_else(|| text.to_owned());
    let mut all: Vec<(String, Vec<String>)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name), decode(value));
        match all.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => all.push((name, vec![value])),
        }
    }
    all
}

/// A JSON object that is being written around raw values.
struct Object<'o> {
    out: &'o mut Vec<u8>,
}

impl<'o> Object<'o> {
    fn begin(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out }
    }

    fn name(&mut self, name: &str) {
        write_name(name, self.out);
    }

    fn raw(&mut self, name: &str, value: &[u8]) {
        self.name(name);
        self.out.extend_from_slice(value);
    }

    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        write_string(value, self.out);
    }

    /// Names with one text or a list of them.
    fn texts(&mut self, name: &str, values: Vec<(String, Vec<String>)>) {
        self.name(name);
        let mut object = Object::begin(self.out);
        for (name, values) in values {
            if let [value] = values.as_slice() {
                object.text(&name, value);
                continue;
            }
            object.name(&name);
            object.out.push(b'[');
            for value in &values {
                separate(object.out);
                write_string(value, object.out);
            }
            object.out.push(b']');
        }
        object.end();
    }

    fn headers(&mut self, map: &HeaderMap, source: &Headers) {
        if map.is_empty() {
            return;
        }
        let values = map.keys().map(|key| {
            let spelled = source.spelled.iter().find(|(known, _)| known == key).map(|(_, name)| name.clone());
            let texts = map.get_all(key).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            (spelled.unwrap_or_else(|| key.as_str().to_owned()), texts.collect())
        });
        self.texts("headers", values.collect());
    }

    /// The body's bytes as they are.
    fn body(&mut self, translated: &BodyOut, source: Option<&[u8]>) {
        if let Some(body) = translated.over(source) {
            self.raw("body", body);
        }
    }

    fn end(self) {
        self.out.push(b'}');
    }
}
