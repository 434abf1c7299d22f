//! Dead letters at the admin address and by command.

use std::process::Command;

use bifocal::messaging::brokers::memory::Memory;
use bifocal::settings::Value as Setting;
use serde_json::{Value, json};

use super::super::support::*;
use super::{brokers, channel, rules, service};
use crate::messaging::{arrived, message, queue};

const FLOW: &str = "shop/orders/v1";
const TOKEN: &str = "Authorization: Bearer 0123456789abcdef";

struct Desk {
    gateway: Gateway,
    memory: Memory,
    folder: tempfile::TempDir,
}

impl Desk {
    /// A gateway with three letters: two that better rules will carry, and one that none will.
    async fn open() -> Self {
        let memory = Memory::default();
        let folder = tempfile::tempdir().unwrap();
        let (token, audit) = (folder.path().join("token"), folder.path().join("audit.log"));
        std::fs::write(&token, "ci 0123456789abcdef\n").unwrap();
        let text = |path: &std::path::Path| Setting::from(path.to_str().unwrap());
        let flags = vec![("admin_token_file", text(&token)), ("log.audit", text(&audit))];
        let files = [service(&channel("orders", "")), rules(2, &["orders"])];
        let gateway = Gateway::start_with(&files, flags, brokers(&memory)).await;
        for (id, body) in [("a", r#"{"total":"s3cr3t"}"#), ("b", r#"{"total":"x"}"#), ("c", "no")] {
            memory.put(&queue("orders.in.v1"), message(id, None, body));
        }
        arrived(&memory, &queue("bifocal.dead.shop.orders/v1"), 3).await;
        Self { gateway, memory, folder }
    }

    async fn ask(&self, line: &str, headers: &[&str], body: &Value) -> Answer {
        let body = if line.starts_with("GET") { Vec::new() } else { body.to_string().into_bytes() };
        ask(self.gateway.admin, line, headers, &body).await
    }

    /// What the command says, and its exit code.
    async fn command(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bifocal"));
        command.arg("dead-letters").args(arguments).args(["--admin", &self.gateway.admin.to_string()]);
        command.arg("--token-file").arg(self.folder.path().join("token"));
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code(), text)
    }

    /// Rules that take any total.
    async fn mend(&self) {
        let (name, text) = rules(2, &["orders"]);
        write(&self.gateway.rules(name), &text.replace("total = price: {decimal: 2}", "total = price"));
        assert_eq!(self.ask("POST /reload", &[TOKEN], &json!({})).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_listed_shown_and_sent_on() {
    let desk = Desk::open().await;
    let listed = desk.ask("GET /dead-letters?reason=rule_error&limit=1", &[], &Value::Null).await;
    assert!(!listed.text().contains("s3cr3t"), "a list tells no values");
    let listed = listed.json();
    assert_eq!((listed["letters"].as_array().unwrap().len(), &listed["more"]), (1, &json!(true)));
    let letter = &listed["letters"][0];
    for (member, expected) in [("flow", FLOW), ("to", "v2"), ("from", "v1"), ("place", "total")] {
        assert_eq!(letter[member], expected, "{member}");
    }
    assert_eq!(desk.ask("GET /dead-letters?limit=x", &[], &Value::Null).await.status, 422);

    // What shows or sends a message needs a token.
    let one = format!("GET /dead-letters/{FLOW}/{}", letter["id"].as_str().unwrap());
    assert_eq!(desk.ask(&one, &[], &Value::Null).await.status, 401);
    assert_eq!(desk.ask("POST /dead-letters/redrive", &[], &json!({})).await.status, 401);
    assert_eq!(desk.ask(&one, &[TOKEN, "Origin: http://elsewhere"], &Value::Null).await.status, 403);
    let shown = desk.ask(&one, &[TOKEN], &Value::Null).await.json();
    assert_eq!(shown["message"]["body"]["text"], r#"{"total":"s3cr3t"}"#);
    assert_eq!(shown["message"]["properties"]["message_id"], "a");
    assert_eq!(shown["now"]["fails"]["reason"], "rule_error");
    let none = desk.ask(&format!("GET /dead-letters/{FLOW}/none"), &[TOKEN], &Value::Null).await;
    assert_eq!(none.status, 404);
    let wrong = desk.ask("POST /dead-letters/redrive", &[TOKEN], &json!({"flw": FLOW})).await;
    assert_eq!(wrong.status, 422);

    desk.mend().await;
    let shown = desk.ask(&one, &[TOKEN], &Value::Null).await.json();
    assert_eq!(shown["now"]["goes"]["body"]["text"], r#"{"price":"s3cr3t"}"#);
    let asked = json!({"flow": FLOW, "reason": "rule_error", "dry_run": true});
    let dry = desk.ask("POST /dead-letters/redrive", &[TOKEN], &asked).await.json();
    assert_eq!(dry["counts"]["sent"], 2);
    assert!(desk.memory.all(&queue("orders.out.v2")).is_empty(), "nothing was sent");
    let done = desk.ask("POST /dead-letters/redrive", &[TOKEN], &json!({})).await.json();
    assert_eq!((&done["counts"]["sent"], &done["counts"]["again"]), (&json!(2), &json!(1)), "{done:#}");
    assert_eq!(desk.memory.all(&queue("orders.out.v2")).len(), 2);

    let audit = eventually(|| async {
        let text = std::fs::read_to_string(desk.folder.path().join("audit.log")).unwrap_or_default();
        text.contains("redrive").then_some(text)
    })
    .await;
    let lines: Vec<Value> = audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |action: &str| lines.iter().filter(|line| line["action"] == action).collect::<Vec<_>>();
    assert_eq!((of("redrive").len(), of("show-letter").len()), (1, 3), "a dry run changes nothing\n{audit}");
    assert_eq!((&of("redrive")[0]["token"], &of("redrive")[0]["result"]), (&json!("ci"), &json!("partly")));
    assert!(!audit.contains("s3cr3t"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_lists_shows_and_sends_on() {
    let desk = Desk::open().await;
    let (code, text) = desk.command(&["list", "--reason", "rule_error"]).await;
    assert_eq!(code, Some(0), "{text}");
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..4], ["FLOW", "ID", "TO", "REASON"]);
    assert_eq!((lines.len(), lines[1][0], lines[1][2], lines[1][4]), (3, FLOW, "v2", "total"));
    let id = lines[1][1].to_owned();
    let (code, text) = desk.command(&["show", FLOW, &id]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains(r#"{"total":"s3cr3t"}"#) && text.contains("it comes back: rule_error"), "{text}");
    let (code, text) = desk.command(&["show", FLOW, "none"]).await;
    assert_eq!((code, text.contains("no such letter")), (Some(2), true), "{text}");

    desk.mend().await;
    let (code, text) = desk.command(&["redrive"]).await;
    assert_eq!((code, text.contains("nothing was sent: say --yes")), (Some(1), true), "{text}");
    assert!(text.contains("2 of 3 would be sent on"), "{text}");
    assert!(desk.memory.all(&queue("orders.out.v2")).is_empty());
    let (code, text) = desk.command(&["redrive", "--id", &id, "--yes", "--format", "json"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["letters"][0]["outcome"], "sent");
    let (code, text) = desk.command(&["redrive", "--yes"]).await;
    assert_eq!((code, text.contains("1 of 2 sent on")), (Some(1), true), "{text}");
    assert_eq!(desk.memory.all(&queue("orders.out.v2")).len(), 2);
    let json = desk.command(&["list", "--format", "json"]).await.1;
    let left: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((left["letters"].as_array().unwrap().len(), &left["letters"][0]["attempts"]), (1, &json!(2)));
}
