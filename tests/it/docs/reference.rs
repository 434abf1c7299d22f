//! Pages that are made from the source. `UPDATE=1` writes them.

use std::fmt::Write as _;

use bifocal::codecs;
use bifocal::diagnostic::codes;
use bifocal::rules::manual;
use bifocal::settings::DEFAULTS;

const MADE: &str = "<!-- Made from the source by tests/it/docs/reference.rs: UPDATE=1 cargo test docs -->\n\n";

fn check(name: &str, text: &str) {
    crate::generated::check(&format!("docs/reference/{name}"), text);
}

#[test]
fn codecs() {
    let mut page = format!("{MADE}# Codecs\n\nA codec converts a value between its old and its new place.\n");
    for info in codecs::ALL {
        let (old, new) = info.places;
        let _ = write!(page, "\n## {}\n\n{}", info.name, info.manual);
        if (old, new) != (1, 1) {
            let _ = write!(page, "\nIt joins {old} old and {new} new places.\n");
        }
    }
    check("codecs.md", &page);
}

#[test]
fn operations() {
    let mut page = format!(
        "{MADE}# Operations\n\nEverything that rules are made of, but for the [codecs](codecs.md). In the examples the old \
         document stands left and the new one right: `<->` both ways, `->` up, `<-` down, `edit @ live => result` an old \
         document written onto a live new one, `!` a refusal.\n"
    );
    for (kind, title) in manual::Kind::ALL {
        let _ = write!(page, "\n## {title}\n\n| | |\n|---|---|\n");
        for one in manual::all().filter(|one| one.kind == kind) {
            let _ = writeln!(page, "| [{}](#{}) | {} |", one.name, one.name.trim_start_matches('$'), one.line);
        }
        for one in manual::all().filter(|one| one.kind == kind) {
            let _ = write!(page, "\n### {}\n\n{}", one.name, one.manual);
        }
    }
    check("operations.md", &page);
}

#[test]
fn diagnostics() {
    let mut page = format!(
        "{MADE}# Diagnostics\n\n`R` codes come from reading rules, `E` codes from checking what they mean, `S` codes from \
         reading interfaces, `W` codes are warnings. `bifocal explain CODE` prints the same.\n\n| code | |\n|---|---|\n"
    );
    for entry in codes::all() {
        let code = entry.code.0;
        let _ = writeln!(page, "| [{code}](#{}) | {} |", code.to_lowercase(), entry.title);
    }
    for entry in codes::all() {
        let explanation = entry.explanation.split_whitespace().collect::<Vec<_>>().join(" ");
        let _ = write!(page, "\n## {}\n\n{}.\n\n{explanation}\n", entry.code.0, capital(entry.title));
        for (title, text) in [("Wrong", entry.wrong), ("Mended", entry.mended)] {
            let _ = write!(page, "\n{title}:\n\n```yaml\n{}\n```\n", text.trim_end());
        }
    }
    check("diagnostics.md", &page);
}

#[test]
fn settings() {
    let mut page = format!(
        "{MADE}# Settings\n\nEvery setting with its default, as `bifocal serve --print-defaults` prints them. In the \
         environment `limits.body` is `BIFOCAL_LIMITS__BODY`.\n\n| setting | default | |\n|---|---|---|\n"
    );
    let mut section = String::new();
    let mut story = String::new();
    let mut before = "";
    // The file's head speaks of all settings, up to its first empty line.
    for line in DEFAULTS.lines().skip_while(|line| !line.is_empty()) {
        if let Some(comment) = line.strip_prefix('#') {
            if !before.starts_with('#') {
                story.clear();
            }
            story += comment;
        } else if let Some(name) = line.strip_prefix('[') {
            section = format!("{}.", name.trim_end_matches(']'));
            if name == "upstreams]" {
                let _ = writeln!(page, "| `upstreams.SERVICE.VERSION` |  |{story} |");
            }
        } else if let Some((name, value)) = line.split_once(" = ") {
            let _ = writeln!(page, "| `{section}{name}` | `{value}` |{story} |");
        }
        before = line;
    }
    check("settings.md", &page);
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().collect::<String>() + letters.as_str()).unwrap_or_default()
}
