//! The README's tour with the real program: change a rule, break it, see the last good state go on, mend it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::{blocks, read, root};

/// A demo on free ports with a copy of the rules.
struct Demo {
    child: Child,
    folder: tempfile::TempDir,
    gateway: String,
    admin: String,
    page: String,
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

impl Demo {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(&root().join("rules"), &folder.path().join("rules"));
        let mut child = Command::new(env!("CARGO_BIN_EXE_bifocal"))
            .args(["demo", "--port", "0", "--admin-port", "0"])
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            // Shown where a test fails.
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut page = String::new();
        while !page.contains("Serving until Ctrl-C.") {
            let count = out.read_line(&mut page).unwrap();
            assert!(count > 0, "the demo ended: {page}");
        }
        let address = |name: &str| {
            let line = page.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().to_owned()
        };
        let (gateway, admin) = (address("gateway"), address("admin"));
        Self { child, folder, gateway, admin, page }
    }

    /// Runs a command of the README, with this demo's addresses and program.
    fn run(&self, command: &str) -> Output {
        let command = command
            .replace("http://127.0.0.1:8080", &self.gateway)
            .replace("http://127.0.0.1:8081", &self.admin)
            .replace("cargo run --release --", env!("CARGO_BIN_EXE_bifocal"))
            .replace("curl ", "curl --silent --show-error --max-time 20 --noproxy '*' ");
        let script = format!("set -euo pipefail; {command}");
        Command::new("bash").args(["-c", &script]).current_dir(self.folder.path()).output().unwrap()
    }

    fn text(&self, command: &str) -> String {
        let output = self.run(command);
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Repeats a command until it says so.
    fn until(&self, command: &str, expected: &str) -> String {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let text = self.text(command);
            if text.contains(expected) {
                return text;
            }
            assert!(Instant::now() < end, "{command} never said {expected}: {text}");
        }
    }
}

fn has(tool: &str) -> bool {
    Command::new(tool).arg("--version").stdout(Stdio::null()).status().is_ok()
}

#[test]
fn the_tour_of_the_readme() {
    if !has("curl") {
        println!("skipped: curl is not installed");
        return;
    }
    let page = read("README.md");
    let tour = page.split("## The tour").nth(1).unwrap().split("\n## ").next().unwrap();
    let steps = blocks(tour, "sh");
    let steps: Vec<Vec<&str>> = steps.iter().map(|block| block.lines().collect()).collect();
    let [start, ask, change, spoil, mend] = steps.as_slice() else { panic!("{steps:?}") };
    assert_eq!(start, &["cargo run --release -- demo"]);
    let demo = Demo::start();

    let [old, new, new_of_old] = ask.as_slice() else { panic!("{ask:?}") };
    assert!(demo.text(old).contains(r#""customer_name":"Mary Ann Smith""#));
    assert!(demo.text(new).contains(r#""first_name":"Mary Ann""#));
    let seen = demo.text(new_of_old);
    assert!(seen.contains(r#""first_name":"Mary Ann""#) && seen.contains(r#""value":"125.97""#), "{seen}");

    let [before, edit, after] = change.as_slice() else { panic!("{change:?}") };
    assert!(demo.text(before).contains(r#""state":"closed""#));
    demo.text(edit);
    demo.until(after, r#""state":"shipped""#);

    let [edit, after, generation, check] = spoil.as_slice() else { panic!("{spoil:?}") };
    demo.text(edit);
    let status = demo.until(generation, r#""state": "kept""#);
    assert!(status.contains("customer.mail") && status.contains(r#""accepted": false"#), "{status}");
    assert!(demo.text(after).contains(r#""state":"shipped""#), "the last good state goes on");
    let checked = demo.run(check);
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.code() == Some(1) && text.contains("customer.mail"), "{text}");

    let [edit, after, check] = mend.as_slice() else { panic!("{mend:?}") };
    demo.text(edit);
    demo.until(after, r#""state":"closed""#);
    assert!(demo.text(check).contains("orders: ok"));
    demo.until(generation, r#""state": "accepted""#);

    let reload = "curl -X POST http://127.0.0.1:8081/reload";
    assert!(page.contains(reload));
    assert!(demo.text(reload).contains(r#""result": "unchanged""#));

    // What the demo itself says to type is the same tour.
    let said = demo.page.replace(&demo.gateway, "http://127.0.0.1:8080").replace(&demo.admin, "http://127.0.0.1:8081");
    for command in ask.iter().chain(change).chain(spoil).chain(mend).filter(|one| !one.starts_with("cargo")) {
        assert!(said.contains(command), "{command}");
    }
}

#[test]
fn the_demo_shows_old_beside_new_and_ends_when_told() {
    let mut demo = Demo::start();
    for expected in [
        "GET /orders/ord_1042                                       | GET /v2/orders/ord_1042",
        "GET /orders?per_page=1                                     | GET /v2/orders?limit=1",
        "  \"total\": 12597,",
        "\"price\": {\"value\": \"125.97\", \"currency\": \"GBP\"}",
        "x-total-count: 3",
        "| if-match: \"1\"",
        "\"status\": \"CANCELLED\"",
        "=> 422 Unprocessable Entity                                | => 422 Unprocessable Entity",
        "\"field\": \"lines\"",
        "\"field\": \"items\"",
        "old service, v1                                            | new client, v2",
    ] {
        assert!(demo.page.contains(expected), "{expected} is missing in\n{}", demo.page);
    }
    assert!(!demo.page.contains('\u{1b}'), "no escapes where no terminal is");
    assert!(demo.page.lines().all(|line| line.chars().count() <= 160 && line.trim_end() == line), "{}", demo.page);
    let stopped = Command::new("kill").args(["-INT", &demo.child.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    assert_eq!(demo.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_taken_port_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (ports, option) in
        [(["--port", &port, "--admin-port", "0"], "--port"), (["--port", "0", "--admin-port", &port], "--admin-port")]
    {
        let output =
            Command::new(env!("CARGO_BIN_EXE_bifocal")).arg("demo").args(ports).current_dir(root()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && error.contains(&format!("port {port} is taken")), "{error}");
        assert!(error.contains(&format!("choose another with `{option}`")), "{error}");
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_bifocal")).arg("demo").current_dir(elsewhere.path()).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && error.contains("--rules"), "{error}");
}
