//! What the settings came to, and where each of them was found: for people who ask a running process.

use figment::value::{Dict, Value};
use figment::{Figment, Source};

/// One setting as it counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective {
    /// The dotted key.
    pub key: String,
    /// Its value; what may be a secret is `***`.
    pub value: serde_json::Value,
    /// `default`, a file's path, the name of a variable or of a flag.
    pub source: String,
}

/// Every setting in the order of its key.
pub(super) fn effective(figment: &Figment) -> Vec<Effective> {
    let mut found = Vec::new();
    if let Ok(all) = figment.extract::<Dict>() {
        walk(figment, &all, "", &mut found);
    }
    found.sort_by(|a, b| a.key.cmp(&b.key));
    found
}

fn walk(figment: &Figment, dict: &Dict, prefix: &str, found: &mut Vec<Effective>) {
    for (name, value) in dict {
        let key = format!("{prefix}{name}");
        match value {
            Value::Dict(_, inner) => walk(figment, inner, &format!("{key}."), found),
            _ => found.push(Effective {
                value: masked(name, serde_json::to_value(value).unwrap_or_default()),
                source: source(figment, &key),
                key,
            }),
        }
    }
}

fn source(figment: &Figment, key: &str) -> String {
    let metadata = figment.find_value(key).ok().and_then(|value| figment.get_metadata(value.tag()));
    let Some(metadata) = metadata else { return "default".to_owned() };
    match &metadata.source {
        Some(Source::File(path)) => path.display().to_string(),
        _ if metadata.name == "environment" || metadata.name == "command line" => {
            let keys: Vec<&str> = key.split('.').collect();
            metadata.interpolate(&figment::Profile::Default, &keys)
        }
        _ => "default".to_owned(),
    }
}

/// Secrets have no business in settings, which name files of them. Where one got in, it does not get out.
fn masked(name: &str, value: serde_json::Value) -> serde_json::Value {
    let names = ["token", "secret", "password", "credential", "authorization"];
    let is_path = name.ends_with("_file");
    let has_user = |text: &str| text.split_once("://").is_some_and(|(_, rest)| rest.contains('@'));
    match value {
        _ if !is_path && names.iter().any(|word| name.contains(word)) => "***".into(),
        serde_json::Value::String(text) if has_user(&text) => "***".into(),
        serde_json::Value::Array(list) => list.into_iter().map(|one| masked("", one)).collect(),
        serde_json::Value::Object(members) => {
            members.into_iter().map(|(name, value)| (name.clone(), masked(&name, value))).collect()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_is_not_shown() {
        for (name, value, shown) in [
            ("admin_token_file", "token", "token"),
            ("api_token", "abc", "***"),
            ("endpoint", "http://user:pass@host", "***"),
            ("endpoint", "http://host/a", "http://host/a"),
        ] {
            assert_eq!(masked(name, value.into()), shown, "{name}");
        }
        assert_eq!(masked("list", serde_json::json!(["http://u@h"])), serde_json::json!(["***"]));
        assert_eq!(masked("of", serde_json::json!([{"password": "p", "key": "k"}]))[0]["password"], "***");
    }
}
