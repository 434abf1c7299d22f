//! Calls that become several, without a socket: `bifocal translate` drives them step by step. The exchanges are those of
//! the gauntlet, where it is at hand.

#![expect(clippy::indexing_slicing, reason = "a test ends by panicking")]
#![expect(clippy::print_stderr, reason = "what is skipped is said aloud")]

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::translate::run;

/// The case's exchanges; nothing where the gauntlet is not beside the project.
fn exchanges(case: &str) -> Option<Vec<Value>> {
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/gauntlet"));
    let folder = std::env::var_os("GAUNTLET").map_or_else(beside, PathBuf::from).join("cases");
    let Ok(text) = fs::read_to_string(folder.join(format!("{case}.json"))) else {
        eprintln!("SKIPPED: {case}: no gauntlet at ../shared (GAUNTLET names another place)");
        return None;
    };
    let case: Value = serde_json::from_str(&text).unwrap();
    Some(case["exchanges"].as_array().unwrap().clone())
}

/// Translates one document with a case's rules.
fn translate(case: &str, way: &str, document: &Value) -> (Value, String) {
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gauntlet");
    let (code, out, err) = run(&format!("--rules {rules} --service {case} {way}"), &document.to_string());
    assert_eq!(code, Some(0), "{err}");
    (serde_json::from_str(&out).unwrap(), err)
}

/// Every header that is listed, whatever the case of its name.
fn has_headers(actual: &Value, expected: &Value) {
    for (name, value) in expected.as_object().into_iter().flatten() {
        let mut headers = actual["headers"].as_object().unwrap().iter();
        assert!(headers.any(|(known, found)| known.eq_ignore_ascii_case(name) && found == value), "{name}: {actual}");
    }
}

fn same_request(actual: &Value, expected: &Value) {
    for part in ["method", "path", "query", "body"] {
        assert_eq!(actual[part], expected[part], "{part}");
    }
    has_headers(actual, &expected["headers"]);
}

/// Answers the calls one by one as the case says, and compares each call and the old response.
fn check(case: &str) {
    let Some(all) = exchanges(case) else { return };
    let mut seen = 0;
    for exchange in all.iter().filter(|one| one["new"]["calls"].is_array()) {
        let calls = exchange["new"]["calls"].as_array().unwrap();
        let asked = &exchange["old"]["request"];
        let (mut printed, _) = translate(case, "--from old --to new", asked);
        let mut answers = Vec::new();
        for call in calls {
            same_request(&printed["calls"][0]["request"], &call["request"]);
            answers.push(json!({"response": call["response"]}));
            let document = json!({"request": asked, "calls": answers});
            printed = translate(case, "--from new --to old", &document).0;
        }
        let expected = &exchange["old"]["response"];
        assert_eq!((&printed["status"], &printed["body"]), (&expected["status"], &expected["body"]));
        has_headers(&printed, &expected["headers"]);
        seen += 1;
    }
    assert!(seen > 0, "{case} has no exchange with several calls");
}

#[test]
fn an_upload_in_three_calls() {
    check("slack-files-upload-external");
}

#[test]
fn a_message_for_each_token() {
    check("fcm-legacy-v1");
}

#[test]
fn what_waits_is_told() {
    let request = json!({"method": "POST", "path": "/api/files.upload",
        "headers": {"Content-Type": "application/x-www-form-urlencoded"}, "body": {"content": "é", "filename": "a"}});
    let (printed, told) = translate("slack-files-upload-external", "--from old --to new", &request);
    assert_eq!(printed["calls"].as_array().unwrap().len(), 1);
    assert_eq!(printed["calls"][0]["request"]["body"], json!({"filename": "a", "length": "2"}));
    assert!(told.starts_with("bifocal: line 1: `upload` waits for the answer to `url`; `done` waits"), "{told}");
}

#[test]
fn answers_that_fit_no_call_are_refused() {
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gauntlet");
    let args = format!("--rules {rules} --service slack-files-upload-external --from new --to old");
    let request = json!({"method": "POST", "path": "/api/files.upload", "body": {"content": "x", "filename": "a"}});
    let refused = json!({"response": {"status": 200, "body": {"ok": false, "error": "no"}}});
    for (document, expected) in [
        (json!({"calls": []}), "`request` is missing"),
        (json!({"request": {"method": "GET", "path": "/x"}, "calls": []}), "no route with calls takes this `request`"),
        (json!({"request": request, "calls": [refused, refused]}), "`calls[1]`: no call is open"),
        (json!({"request": request, "calls": [{"status": 200}]}), "`calls[0]`: `response` is missing"),
        (
            json!({"request": request, "calls": [{"response": {"status": 500, "body": "x"}}]}),
            "the call `url` was answered 500",
        ),
    ] {
        let (code, out, err) = run(&args, &document.to_string());
        assert!(code == Some(1) && out.is_empty() && err.contains(expected), "{err}");
    }
}
