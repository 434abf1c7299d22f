//! JSON values whose numbers are their texts, and JSON pointers into them.

use std::collections::BTreeMap;

use bifocal::json::{MAX_DEPTH, Tree, TreeKind, write_string};

/// Equal where member order does not matter and everything else does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Json {
    /// `null`, a boolean or a number, as written.
    Word(String),
    Text(String),
    List(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

impl Json {
    /// # Errors
    /// The text is not JSON.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        Tree::parse(text.as_bytes(), MAX_DEPTH).map(|tree| Self::of(&tree)).map_err(|error| error.to_string())
    }

    fn of(tree: &Tree<'_>) -> Self {
        match &tree.kind {
            TreeKind::String => Self::Text(tree.text().unwrap().into_owned()),
            TreeKind::Array(elements) => Self::List(elements.iter().map(Self::of).collect()),
            TreeKind::Object(members) => {
                Self::Object(members.iter().map(|(name, value)| (name.to_string(), Self::of(value))).collect())
            }
            _ => Self::Word(String::from_utf8(tree.raw.to_vec()).unwrap()),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.get(name),
            _ => None,
        }
    }

    pub(super) fn members(&mut self) -> &mut BTreeMap<String, Self> {
        match self {
            Self::Object(members) => members,
            other => panic!("expected an object, found {other}"),
        }
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Word(text) => text,
            other => panic!("expected a text, found {other}"),
        }
    }

    pub(super) fn list(&self) -> &[Self] {
        match self {
            Self::List(elements) => elements,
            other => panic!("expected a list, found {other}"),
        }
    }

    /// What a JSON pointer (RFC 6901) leads to. Names of headers are in lower case where both messages have been made so.
    fn follow(&mut self, token: &str) -> Option<&mut Self> {
        match self {
            Self::List(elements) => elements.get_mut(token.parse::<usize>().ok()?),
            Self::Object(members) => {
                let name = if members.contains_key(token) { token.to_owned() } else { token.to_lowercase() };
                members.get_mut(&name)
            }
            _ => None,
        }
    }

    fn holder(&mut self, pointer: &str) -> Option<(&mut Self, String)> {
        let mut tokens: Vec<String> =
            pointer.split('/').skip(1).map(|t| t.replace("~1", "/").replace("~0", "~")).collect();
        let last = tokens.pop()?;
        let holder = tokens.iter().try_fold(self, |value, token| value.follow(token))?;
        Some((holder, last))
    }

    /// Leaves out what a pointer leads to; an element of a list leaves `null`, so that the others keep their numbers.
    pub(super) fn remove(&mut self, pointer: &str) {
        match self.holder(pointer) {
            Some((Self::Object(members), name)) => {
                let found = if members.contains_key(&name) { name } else { name.to_lowercase() };
                members.remove(&found);
            }
            Some((holder @ Self::List(_), index)) => {
                if let Some(element) = holder.follow(&index) {
                    *element = Self::Word("null".to_owned());
                }
            }
            _ => {}
        }
    }

    /// Where a pointer leads to a text that holds JSON, puts that JSON there.
    pub(super) fn open_text(&mut self, pointer: &str) {
        let found = self.holder(pointer).and_then(|(holder, name)| holder.follow(&name));
        if let Some(found) = found
            && let Self::Text(text) = &*found
            && let Ok(inner) = Self::parse(text)
        {
            *found = inner;
        }
    }
}

impl std::fmt::Display for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let quoted = |text: &str| {
            let mut quoted = Vec::new();
            write_string(text, &mut quoted);
            String::from_utf8(quoted).unwrap()
        };
        let joined = |parts: Vec<String>| parts.join(",");
        match self {
            Self::Word(word) => f.write_str(word),
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::List(elements) => write!(f, "[{}]", joined(elements.iter().map(Self::to_string).collect())),
            Self::Object(members) => {
                let member = |(name, value): (&String, &Self)| format!("{}:{value}", quoted(name));
                write!(f, "{{{}}}", joined(members.iter().map(member).collect()))
            }
        }
    }
}
