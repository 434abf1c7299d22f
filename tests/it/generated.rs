//! Files of the tree that are made from the source: fresh, or written anew with `UPDATE=1`.

use std::fs;
use std::path::Path;

/// Whether files are written instead of compared.
pub(crate) fn is_update() -> bool {
    std::env::var_os("UPDATE").is_some()
}

/// Fails where a file of the package is not this text; `UPDATE=1` writes it.
pub(crate) fn check(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if is_update() {
        fs::write(&path, text).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == text, "{name} is stale; UPDATE=1 writes it anew");
}
