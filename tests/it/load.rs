//! Reading rules folders: what is read, what is refused, and that nothing leads out.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use bifocal::diagnostic::codes;
use bifocal::rules::load::{LoadedFolder, ServiceSources, load_folder};
use bifocal::rules::{check_folder, check_service};

const SERVICE: &str = "versions: {v1: {}, v2: {upstream: \"http://127.0.0.1:1\"}}\n";
const RULES: &str = "types: {Order: [id]}\n";

fn write(root: &Path, path: &str, text: impl AsRef<[u8]>) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A folder with one sound service, `shop`.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "shop/service.yaml", SERVICE);
    write(dir.path(), "shop/v1-v2.yaml", RULES);
    dir
}

fn load(dir: &Path) -> LoadedFolder {
    load_folder(dir).unwrap()
}

/// `path: message` of everything found while loading.
fn found(loaded: &LoadedFolder) -> Vec<String> {
    let services = loaded.services.values().map(|one| (&one.diagnostics, &*one.sources));
    std::iter::once((&loaded.diagnostics, &loaded.sources))
        .chain(services)
        .flat_map(|(diagnostics, sources)| diagnostics.iter().map(move |one| (one, sources)))
        .map(|(one, sources)| {
            assert_eq!(one.code, codes::R16);
            format!("{}: {}", sources.get(one.span.source).unwrap().path, one.message)
        })
        .collect()
}

#[test]
fn a_folder_is_read_in_a_fixed_order() {
    let dir = folder();
    write(dir.path(), "shop/openapi/v2.yaml", "openapi: 3.1.0\n");
    write(dir.path(), "shop/openapi/deep/v1.json", "{}");
    write(dir.path(), "shop/README.md", "words");
    write(dir.path(), "shop/.v1-v2.yaml.swp", "editor");
    write(dir.path(), "books/service.yaml", SERVICE);
    write(dir.path(), "docs/picture.png", "no rules at all");
    let loaded = load(dir.path());
    assert_eq!(found(&loaded), Vec::<String>::new());
    assert_eq!(loaded.services.keys().collect::<Vec<_>>(), ["books", "shop"]);
    let shop = &loaded.services["shop"];
    let paths: Vec<&str> = shop.iter().map(|(_, path)| path).collect();
    assert_eq!(paths, ["openapi/deep/v1.json", "openapi/v2.yaml", "service.yaml", "v1-v2.yaml"]);
    let interfaces: Vec<&str> = shop.interfaces().map(|(_, path)| path).collect();
    assert_eq!(interfaces, ["openapi/deep/v1.json", "openapi/v2.yaml"]);
    assert!(check_service(shop).checked.is_some());
}

#[test]
fn the_hash_follows_the_content() {
    let dir = folder();
    let hash = |dir: &Path| load(dir).services["shop"].hash;
    let before = hash(dir.path());
    assert_eq!(hash(dir.path()), before);
    write(dir.path(), "shop/README.md", "not part of it");
    assert_eq!(hash(dir.path()), before);
    write(dir.path(), "shop/v1-v2.yaml", "types: {Order: [key]}\n");
    assert_ne!(hash(dir.path()), before);
    write(dir.path(), "shop/v1-v2.yaml", RULES);
    assert_eq!(hash(dir.path()), before);
    let texts = [("service.yaml", SERVICE), ("v1-v2.yaml", RULES)];
    assert_eq!(ServiceSources::from_texts("shop", texts).hash, before);
}

#[test]
fn a_config_map_mount_is_followed_and_its_swap_seen() {
    let dir = tempfile::tempdir().unwrap();
    let shop = dir.path().join("shop");
    for (version, rules) in [("..2026_1", RULES), ("..2026_2", "types: {Order: [key]}\n")] {
        write(&shop, &format!("{version}/service.yaml"), SERVICE);
        write(&shop, &format!("{version}/v1-v2.yaml"), rules);
    }
    symlink("..2026_1", shop.join("..data")).unwrap();
    symlink("..data/service.yaml", shop.join("service.yaml")).unwrap();
    symlink("..data/v1-v2.yaml", shop.join("v1-v2.yaml")).unwrap();
    let loaded = load(dir.path());
    assert_eq!(found(&loaded), Vec::<String>::new());
    let before = loaded.services["shop"].hash;
    assert_eq!(loaded.services["shop"].iter().count(), 2);
    symlink("..2026_2", shop.join("..new")).unwrap();
    fs::rename(shop.join("..new"), shop.join("..data")).unwrap();
    assert_ne!(load(dir.path()).services["shop"].hash, before);
}

#[test]
fn nothing_leads_out_and_only_regular_files_are_read() {
    let outside = tempfile::tempdir().unwrap();
    write(outside.path(), "secret.yaml", "password: hunter2\n");
    let dir = folder();
    let shop = dir.path().join("shop");
    symlink(outside.path().join("secret.yaml"), shop.join("v2-v3.yaml")).unwrap();
    symlink(outside.path(), shop.join("openapi")).unwrap();
    symlink("/dev/zero", shop.join("zero.yaml")).unwrap();
    symlink("missing.yaml", shop.join("gone.yaml")).unwrap();
    symlink("loop.yaml", shop.join("loop.yaml")).unwrap();
    symlink(".", shop.join("self")).unwrap();
    fs::create_dir(shop.join("folder.yaml")).unwrap();
    write(&shop, "latin.yaml", b"name: \xe9\n");
    write(&shop, "old.yml", RULES);
    write(&shop, "big.yaml", vec![b'#'; (4 << 20) + 1]);
    assert!(Command::new("mkfifo").arg(shop.join("pipe.yaml")).status().unwrap().success());
    let loaded = load(dir.path());
    let mut found = found(&loaded);
    found.sort();
    assert_eq!(
        found,
        [
            "shop/big.yaml: larger than 4194304 bytes",
            "shop/folder.yaml: not a regular file",
            "shop/gone.yaml: entity not found",
            "shop/latin.yaml: not UTF-8 at byte 6",
            "shop/loop.yaml: filesystem loop or indirection limit (e.g. symlink loop)",
            "shop/old.yml: rule files end in `.yaml`",
            "shop/openapi: leads out of the rules folder",
            "shop/pipe.yaml: not a regular file",
            "shop/v2-v3.yaml: leads out of the rules folder",
            "shop/zero.yaml: leads out of the rules folder",
        ]
    );
    let shop = &loaded.services["shop"];
    assert!(shop.sources.iter().all(|(_, source)| !source.text.contains("hunter2")));
    let report = check_service(shop);
    assert!(report.checked.is_none());
    // What could not be read is reported once, not again for everything that is missing because of it.
    assert!(report.diagnostics.iter().all(|one| one.code == codes::R16), "{:?}", report.diagnostics);
}

#[test]
fn too_many_files_are_refused() {
    let dir = folder();
    for number in 0..10_100 {
        write(dir.path(), &format!("shop/openapi/{number:05}.json"), "{}");
    }
    assert_eq!(found(&load(dir.path())), ["shop/openapi/10000.json: more than 10000 files in the rules folder"]);
}

#[test]
fn what_is_wrong_with_the_folder_itself() {
    assert!(load_folder(Path::new("/nonexistent")).is_err());
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(found(&load(dir.path())), [".: no service in the rules folder"]);
    write(dir.path(), "service.yaml", SERVICE);
    write(dir.path(), "v1-v2.yaml", RULES);
    assert_eq!(found(&load(dir.path())), ["service.yaml: `service.yaml` directly in the rules folder"]);
    let (dir, outside) = (folder(), folder());
    symlink(outside.path().join("shop"), dir.path().join("away")).unwrap();
    write(dir.path(), "books/v1-v2.yaml", RULES);
    write(dir.path(), "odd name/service.yaml", SERVICE);
    assert_eq!(
        found(&load(dir.path())),
        [
            "away: the folder `away` leads out of the rules folder",
            "books: the folder `books` has rules but no `service.yaml`",
            "odd name: the folder's name is not a service's name"
        ]
    );
}

#[test]
fn services_that_answer_for_the_same_requests_are_refused() {
    let service = |text: &str| format!("{text}\nversions: {{v1: {{upstream: \"http://127.0.0.1:1\"}}}}\n");
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a/service.yaml", service("match: {hosts: [A.example, b.example], paths: [/x]}"));
    write(dir.path(), "b/service.yaml", service("match: {hosts: [a.example], paths: [/x/y, /z]}"));
    write(dir.path(), "c/service.yaml", service("match: {hosts: [a.example], paths: [/y, /x]}"));
    write(dir.path(), "d/service.yaml", service(""));
    write(dir.path(), "e/service.yaml", service("match: {hosts: [e.example]}"));
    write(dir.path(), "f/service.yaml", service(""));
    let report = check_folder(&load(dir.path()));
    let refused: Vec<String> = report
        .services
        .iter()
        .flat_map(|(name, one)| one.diagnostics.iter().map(move |found| format!("{name} {}", found.message)))
        .collect();
    assert_eq!(
        refused,
        [
            "c `a` already answers for the path `/x` of the host `a.example`",
            "f `d` already answers for requests of any host and path"
        ]
    );
    assert!(!report.is_clean() && report.services["a"].checked.is_some() && report.services["c"].checked.is_none());
}

#[test]
fn generated_rule_sets_stay_within_limits() {
    let rules = |count: usize| {
        (0..count).fold("types:\n  Order:\n".to_owned(), |all, number| all + &format!("    - m{number}\n"))
    };
    let routes = (0..100_000).fold("routes:\n".to_owned(), |all, number| all + &format!("  - GET /r{number}\n"));
    let merge = (1..1_000).fold("a0: &a0 {k: 1}\n".to_owned(), |all, one| {
        all + &format!("a{one}: &a{one} {{<<: *a{}, k{one}: 1}}\n", one - 1)
    });
    for (text, expected) in [
        (rules(20_000), None),
        (rules(100_000), Some("more than 20000 rules")),
        (routes, Some("`routes` has 100000 entries, the limit is 10000")),
        (merge, Some("merge keys are not part of YAML 1.2")),
    ] {
        let sources = ServiceSources::from_texts("shop", [("service.yaml", SERVICE), ("v1-v2.yaml", text.as_str())]);
        let report = check_service(&sources);
        let first = report.diagnostics.iter().find(|one| one.code != codes::R5).map(|one| one.message.as_str());
        assert_eq!(first, expected);
    }
}
