//! A message as no broker in particular has it: bytes, the properties that brokers share, and headers in their order.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// The versions that a message has been through: `orders.created@v1>v2`, one for each time it was translated.
pub const PATH: &str = "bifocal-path";
/// The version that a translated message is in.
pub const VERSION: &str = "bifocal-version";
/// Names the rules that a message was translated by.
pub const RULES: &str = "bifocal-rules";

/// A message.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// Its body.
    pub body: Bytes,
    /// What brokers know of it.
    pub properties: Properties,
    /// In the order in which they came.
    pub headers: Headers,
}

impl Message {
    /// About how much memory it takes.
    pub fn weight(&self) -> usize {
        let headers: usize = self.headers.0.iter().map(|(name, value)| name.len() + value.text_len() + 64).sum();
        self.body.len() + headers + 256
    }
}

/// What brokers know of a message beside its headers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties {
    /// Media type of the body.
    pub content_type: Option<String>,
    /// How the body is coded.
    pub content_encoding: Option<String>,
    /// The writer's name for this message.
    pub message_id: Option<String>,
    /// Which request it answers, or by which the answer will be known.
    pub correlation_id: Option<String>,
    /// Where an answer is expected.
    pub reply_to: Option<String>,
    /// What kind of message it is.
    pub kind: Option<String>,
    /// Milliseconds after which nobody wants it any more, as text.
    pub expiration: Option<String>,
    /// Seconds since 1970.
    pub timestamp: Option<u64>,
    /// 0 to 255.
    pub priority: Option<u8>,
    /// Whether it survives a restart of the broker.
    pub persistent: Option<bool>,
    /// Which program wrote it.
    pub app_id: Option<String>,
    /// Who wrote it, as the broker has checked it.
    pub user_id: Option<String>,
    /// Reserved in AMQP, and kept.
    pub cluster_id: Option<String>,
    /// The routing key or subject that it came by.
    pub routing: Option<String>,
}

/// Headers, in order; names are kept as they are written and compared in any letter case.
#[derive(Debug, Clone, Default)]
pub struct Headers(Arc<Vec<(String, Value)>>);

/// A header's value.
#[derive(Clone)]
pub struct Value {
    text: Option<String>,
    native: Option<Arc<dyn Any + Send + Sync>>,
}

impl fmt::Debug for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers may hold what must not be shown.
        out.write_str(if self.native.is_some() { "Value(native)" } else { "Value(text)" })
    }
}

impl Value {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), native: None }
    }

    /// What only one kind of broker understands, and the text that it is elsewhere, if it can be one.
    pub fn native(native: impl Any + Send + Sync, text: Option<String>) -> Self {
        Self { text, native: Some(Arc::new(native)) }
    }

    /// As text, where it can be one.
    pub fn as_text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// As a broker's own type.
    pub fn as_native<T: 'static>(&self) -> Option<&T> {
        self.native.as_ref()?.downcast_ref()
    }

    fn text_len(&self) -> usize {
        self.text.as_ref().map_or(64, String::len)
    }
}

impl Headers {
    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The text of the first header of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?.1.as_text()
    }

    /// Adds one.
    pub fn push(&mut self, name: impl Into<String>, value: Value) {
        self.all().push((name.into(), value));
    }

    /// To be changed: clones share them until then.
    fn all(&mut self) -> &mut Vec<(String, Value)> {
        Arc::make_mut(&mut self.0)
    }

    /// The one value of a name; those it had are gone.
    pub fn set(&mut self, name: &str, text: impl Into<String>) {
        let value = Value::text(text);
        match self.0.iter().position(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some(at) => {
                let mut index = 0;
                let all = self.all();
                all.retain(|(known, _)| {
                    index += 1;
                    index == at + 1 || !known.eq_ignore_ascii_case(name)
                });
                if let Some((_, slot)) = all.get_mut(at) {
                    *slot = value;
                }
            }
            None => self.push(name, value),
        }
    }

    /// Takes all of a name away.
    pub fn remove(&mut self, name: &str) {
        if self.0.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            self.all().retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        }
    }
}

/// The headers that rules may name, as HTTP would have them: texts with names that HTTP can have, and the content type.
pub fn to_map(message: &Message) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in message.headers.iter() {
        let text = value.as_text().and_then(|text| HeaderValue::from_str(text).ok());
        if let (Ok(name), Some(text)) = (HeaderName::from_bytes(name.as_bytes()), text) {
            map.append(name, text);
        }
    }
    let content_type = message.properties.content_type.as_deref();
    if let Some(value) = content_type.and_then(|text| HeaderValue::from_str(text).ok()) {
        map.insert(header::CONTENT_TYPE, value);
    }
    map
}

/// Writes what rules have made of [`to_map`]'s headers back, and leaves alone what they have not changed.
pub fn write_back(before: &HeaderMap, after: &HeaderMap, message: &mut Message) {
    let texts = |map: &HeaderMap, name: &HeaderName| -> Vec<String> {
        let values = map.get_all(name).iter();
        values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
    };
    for name in before.keys().chain(after.keys().filter(|name| !before.contains_key(*name))) {
        if before.get_all(name).iter().eq(after.get_all(name).iter()) {
            continue;
        }
        let new = texts(after, name);
        if *name == header::CONTENT_TYPE {
            message.properties.content_type = new.first().cloned();
            continue;
        }
        match new.as_slice() {
            [] => message.headers.remove(name.as_str()),
            [first, rest @ ..] => {
                message.headers.set(name.as_str(), first.clone());
                for text in rest {
                    message.headers.push(name.as_str(), Value::text(text.clone()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_rules_change_is_written_back() {
        let mut message = Message::default();
        message.headers.push("X-Shop", Value::text("a"));
        message.headers.push("cloudEvents:id", Value::text("1"));
        message.headers.push("X-Count", Value::native(7_i32, Some("7".into())));
        let before = to_map(&message);
        let mut after = before.clone();
        after.remove("x-shop");
        after.insert("x-tenant", HeaderValue::from_static("a"));
        write_back(&before, &after, &mut message);
        let names: Vec<&str> = message.headers.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["cloudEvents:id", "X-Count", "x-tenant"]);
        let (_, count) = message.headers.iter().nth(1).unwrap();
        assert_eq!(count.as_native::<i32>(), Some(&7));
    }

    #[test]
    fn setting_replaces_all_of_a_name() {
        let mut headers = Headers::default();
        for (name, text) in [("a", "1"), ("B", "2"), ("b", "3"), ("c", "4")] {
            headers.push(name, Value::text(text));
        }
        headers.set("b", "5");
        let all: Vec<_> = headers.iter().map(|(name, value)| (name, value.as_text().unwrap())).collect();
        assert_eq!(all, [("a", "1"), ("B", "5"), ("c", "4")]);
    }
}
