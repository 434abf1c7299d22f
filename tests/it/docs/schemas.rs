//! The schemas for editors are fresh, accept every rule file there is, and refuse what the parser refuses.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use bifocal::rules::schema;

use super::{blocks, read, root};

#[test]
fn schemas_are_fresh() {
    for (name, schema) in [("rules", schema::rules()), ("service", schema::service())] {
        let text = format!("{schema:#}\n");
        crate::generated::check(&format!("schemas/{name}.schema.json"), &text);
        let printed = Command::new(env!("CARGO_BIN_EXE_bifocal")).args(["schema", name]).output().unwrap();
        assert_eq!(String::from_utf8(printed.stdout).unwrap(), text);
    }
}

/// Reads YAML as the rules' own reader does: 1.2, where `on` is a word and a date is a text.
const VALIDATE: &str = r#"
import json, re, sys
import jsonschema, yaml

class Loader(yaml.SafeLoader):
    pass

Loader.yaml_implicit_resolvers = {}
for tag, form, first in [
    ("null", "^(?:null|~|)$", ["n", "~", ""]),
    ("bool", "^(?:true|false)$", list("tf")),
    ("int", "^[-+]?[0-9]+$", list("-+0123456789")),
    ("float", r"^[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?$", list("-+.0123456789")),
]:
    Loader.add_implicit_resolver("tag:yaml.org,2002:" + tag, re.compile(form), first)

def named(value):
    if isinstance(value, dict):
        return {"null" if key is None else str(key): named(one) for key, one in value.items()}
    return [named(one) for one in value] if isinstance(value, list) else value

validators = {}
for line in sys.stdin:
    schema, expected, file = line.rstrip("\n").split("\t")
    if schema not in validators:
        with open(schema) as text:
            whole = json.load(text)
        jsonschema.Draft7Validator.check_schema(whole)
        validators[schema] = jsonschema.Draft7Validator(whole)
    with open(file) as text:
        mistakes = list(validators[schema].iter_errors(named(yaml.load(text, Loader))))
    if bool(mistakes) != (expected == "refused"):
        print(file, [f"{list(one.absolute_path)}: {one.message[:300]}" for one in mistakes])
"#;

/// Every rule file below these folders.
fn rule_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for folder in ["rules", "tests/gauntlet"] {
        for service in fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path()) {
            let Ok(entries) = fs::read_dir(&service) else { continue };
            let entries = entries.map(|entry| entry.unwrap().path());
            files.extend(entries.filter(|path| path.extension().is_some_and(|end| end == "yaml")));
        }
    }
    assert!(files.len() > 60, "{files:?}");
    files
}

/// What the parser refuses for its shape, and the schema with it.
const REFUSED: [&str; 10] = [
    "type: {}\n",
    "types: {T: [a = b: {decimall: 2}]}\n",
    "types: {T: [a = b: {each: {decimal: 2}, kee: id}]}\n",
    "types: {T: [{added: x, form: y}]}\n",
    "types: {T: [{cases: [{old: {a: $a}, newer: {b: $a}}]}]}\n",
    "types: {T: [{rest: {new: keep}}]}\n",
    "types: {T: [a: {entries: {value: v}}]}\n",
    "routes: [GET /x = GET /y: {requests: T}]\n",
    "routes: [GET /x = GET /y: {write: append}]\n",
    "examples: [{old: {}}]\n",
];

#[test]
fn schemas_accept_what_the_parser_accepts() {
    let has = Command::new("python3").args(["-c", "import jsonschema, yaml"]).output();
    if !has.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: python3 with jsonschema and yaml is not here; the schemas are not tried on files");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let schemas = ["rules", "service"].map(|name| root().join(format!("schemas/{name}.schema.json")));
    let [rules, service] = &schemas;
    let mut list = String::new();
    let mut add = |schema: &PathBuf, expected: &str, file: &PathBuf| {
        writeln!(list, "{}\t{expected}\t{}", schema.display(), file.display()).unwrap();
    };
    for file in rule_files() {
        let is_service = file.file_name().is_some_and(|name| name == "service.yaml");
        add(if is_service { service } else { rules }, "accepted", &file);
    }
    let guide = read("docs/rules.md");
    for (schema, info) in [(rules, "yaml v1-v2.yaml"), (service, "yaml service.yaml")] {
        for (index, text) in blocks(&guide, info).into_iter().enumerate() {
            let file = folder.path().join(format!("{}-{index}.yaml", info.replace(' ', "-")));
            fs::write(&file, text).unwrap();
            add(schema, "accepted", &file);
        }
    }
    for (index, text) in REFUSED.iter().enumerate() {
        let file = folder.path().join(format!("refused-{index}.yaml"));
        fs::write(&file, text).unwrap();
        add(rules, "refused", &file);
    }
    let input = folder.path().join("list");
    fs::write(&input, list).unwrap();
    let output = Command::new("python3")
        .args(["-W", "ignore", "-c", VALIDATE])
        .stdin(fs::File::open(&input).unwrap())
        .output()
        .unwrap();
    let (found, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && found.is_empty(), "{found}{error}");
}
