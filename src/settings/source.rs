//! Where settings come from: figment providers that remember the name their author used.

use std::collections::BTreeMap;

use figment::value::{Dict, Map, Value};
use figment::{Error, Metadata, Profile, Provider};

/// Settings given one by one: environment variables or flags.
pub(super) struct Pairs {
    /// For messages: `environment` or `command line`.
    name: &'static str,
    /// Dotted key to its value.
    values: BTreeMap<String, Value>,
}

/// What all of Bifocal's environment variables begin with.
const PREFIX: &str = "BIFOCAL_";

impl Pairs {
    /// `BIFOCAL_LIMITS__BODY=1` is `limits.body = 1`. `BIFOCAL_CONFIG` names the file and is no setting itself.
    pub(super) fn from_environment(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let values = variables
            .into_iter()
            .filter_map(|(name, value)| {
                Some((name.strip_prefix(PREFIX)?.to_ascii_lowercase().replace("__", "."), value))
            })
            .filter(|(key, _)| key != "config")
            .map(|(key, value)| (key, parse_value(&value)))
            .collect();
        Self { name: "environment", values }
    }

    /// Flags, by the key of the setting that they set.
    pub(super) fn from_flags(flags: impl IntoIterator<Item = (&'static str, Value)>) -> Self {
        let values = flags.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        Self { name: "command line", values }
    }
}

/// Figment reads `10` as a number and `[a, b]` as a list, which is what a variable's author means. It cannot fail.
fn parse_value(text: &str) -> Value {
    match text.parse() {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

impl Provider for Pairs {
    fn metadata(&self) -> Metadata {
        let environment = self.name == "environment";
        Metadata::named(self.name).interpolater(move |_: &Profile, keys: &[&str]| {
            if environment {
                format!("{PREFIX}{}", keys.join("__").to_ascii_uppercase())
            } else {
                format!("--{}", keys.join("-").replace('_', "-"))
            }
        })
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let mut root = Dict::new();
        for (key, value) in &self.values {
            insert(&mut root, key, value.clone());
        }
        Ok(Map::from([(Profile::Default, root)]))
    }
}

fn insert(into: &mut Dict, key: &str, value: Value) {
    match key.split_once('.') {
        None => drop(into.insert(key.to_owned(), value)),
        Some((head, rest)) => {
            let entry = into.entry(head.to_owned()).or_insert_with(|| Value::from(Dict::new()));
            match entry {
                Value::Dict(_, inner) => insert(inner, rest, value),
                other => {
                    let mut inner = Dict::new();
                    insert(&mut inner, rest, value);
                    *other = Value::from(inner);
                }
            }
        }
    }
}
