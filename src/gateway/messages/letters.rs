//! Dead letters as operators ask for them.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::Flows;
use crate::codecs::encode_base64;
use crate::messaging::letters::{Errand, Facts, Filter, Letters, Outcome, Outlook, Row};
use crate::messaging::message::Message;

/// Letters of one answer, where nothing is said, and at most.
const SOME: usize = 100;
const MOST: usize = 1000;
/// The last word: whoever looks has given up by then.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which letters are listed.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Wanted {
    pub(in crate::gateway) filter: Filter,
    pub(in crate::gateway) limit: Option<usize>,
}

/// What `POST /dead-letters/redrive` is told.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::gateway) struct Asked {
    flow: Option<String>,
    reason: Option<String>,
    to: Option<String>,
    id: Option<String>,
    limit: Option<usize>,
    pub(in crate::gateway) dry_run: bool,
    before: Option<String>,
}

impl Asked {
    /// For the audit.
    fn told(&self) -> String {
        let parts = [("flow", &self.flow), ("reason", &self.reason), ("to", &self.to), ("id", &self.id)];
        let said = parts.iter().filter_map(|(name, value)| Some(format!("{name} {}", value.as_ref()?)));
        let said: Vec<String> = said.collect();
        if said.is_empty() { "all".to_owned() } else { said.join(", ") }
    }
}

impl Flows {
    /// Letters by a filter.
    pub(in crate::gateway) async fn list_letters(&self, wanted: Wanted) -> Value {
        let most = wanted.limit.unwrap_or(SOME).min(MOST);
        let listed = self.of_letters(move |letters| async move { letters.list(&wanted.filter, most).await }).await;
        let Some(listed) = listed else { return unanswered() };
        let rows: Vec<Value> = listed.rows.iter().map(row).collect();
        json!({
            "letters": rows,
            "more": listed.more,
            "others": listed.others,
            "problems": problems(&listed.problems),
        })
    }

    /// One letter with all of its message, and what would become of it now. None: there is no such letter.
    ///
    /// # Errors
    /// Why it cannot be looked for.
    pub(in crate::gateway) async fn show_letter(&self, flow: String, id: String) -> Result<Option<Value>, String> {
        let shown = self.of_letters(move |letters| async move { letters.show(&flow, &id).await }).await;
        let Some(shown) = shown else { return Err("it did not answer in time".to_owned()) };
        let Some((of, letter, outlook)) = shown.map_err(|lost| lost.to_string())? else { return Ok(None) };
        let now = match outlook {
            Outlook::Goes { message, dropped } => json!({"goes": whole(&message), "dropped_members": dropped}),
            Outlook::Fails { reason, detail, place } => {
                json!({"fails": {"reason": reason, "detail": detail, "place": place}})
            }
            Outlook::Gone => json!({"gone": true}),
        };
        Ok(Some(json!({"letter": row(&of), "message": whole(&letter.message), "now": now})))
    }

    /// Sends letters on. Answers what came of it, one word and one line for the audit.
    pub(in crate::gateway) async fn redrive(&self, asked: Asked) -> (Value, &'static str, String) {
        let told = asked.told();
        let Asked { flow, reason, to, id, limit, dry_run, before } = asked;
        let filter = Filter { flow, reason, to, id };
        let errand = Errand { filter, most: limit.unwrap_or(SOME).min(MOST), dry_run, before };
        let done = self.of_letters(move |letters| async move { letters.redrive(&errand).await }).await;
        let Some(done) = done else { return (unanswered(), "failed", told) };
        let letters: Vec<Value> = done.letters.iter().map(|(facts, outcome)| outcome_of(facts, outcome)).collect();
        let count = |word: &str| letters.iter().filter(|one| one.get("outcome").is_some_and(|is| is == word)).count();
        let counts = json!({
            "sent": count("sent"), "again": count("again"), "behind": count("behind"), "gone": count("gone"),
            "left": count("left"),
        });
        let result = match (count("sent"), letters.len()) {
            (0, _) => "unchanged",
            (sent, all) if sent == all => "sent",
            _ => "partly",
        };
        let line = format!("{told}: {} of {} sent", count("sent"), letters.len());
        let told = json!({
            "letters": letters,
            "counts": counts,
            "released_keys": done.released,
            "more": done.more,
            "before": done.before,
            "problems": problems(&done.problems),
        });
        (told, result, line)
    }

    /// Where the flows run, whoever asks; it goes on to its end though nobody waits for it any more. None: it has none.
    async fn of_letters<T, F>(&self, work: impl FnOnce(Letters) -> F) -> Option<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let runtime = self.runtime.get()?;
        let working = runtime.spawn(timeout(PATIENCE, work(self.supervisor.letters())));
        working.await.ok()?.ok()
    }
}

fn unanswered() -> Value {
    json!({"letters": [], "more": true, "problems": [{"why": "flows do not run, or did not answer in time"}]})
}

fn problems(all: &[(crate::rules::channel::Address, String)]) -> Vec<Value> {
    all.iter().map(|(at, why)| json!({"at": at.to_string(), "why": why})).collect()
}

/// What is said of a letter; nothing of it is a value of the message.
fn facts(facts: &Facts) -> Value {
    json!({
        "flow": facts.flow,
        "id": facts.id,
        "reason": facts.reason,
        "detail": facts.detail,
        "place": facts.place,
        "from": facts.from,
        "to": facts.to,
        "rules": facts.rules,
        "position": facts.position,
        "attempts": facts.attempts,
        "first_at": facts.first_at,
        "last_at": facts.last_at,
    })
}

fn row(row: &Row) -> Value {
    let mut told = facts(&row.facts);
    if let Some(members) = told.as_object_mut() {
        members.insert("size".to_owned(), row.size.into());
        members.insert("at".to_owned(), row.at.to_string().into());
    }
    told
}

fn outcome_of(of: &Facts, outcome: &Outcome) -> Value {
    let (word, why) = match outcome {
        Outcome::Sent => ("sent", None),
        Outcome::Again(reason, detail, place) => {
            ("again", Some(json!({"reason": reason, "detail": detail, "place": place})))
        }
        Outcome::Behind => ("behind", None),
        Outcome::Gone => ("gone", None),
        Outcome::Left(why) => ("left", Some(json!({"detail": why}))),
    };
    let mut told = json!({"flow": of.flow, "id": of.id, "to": of.to, "reason": of.reason, "outcome": word});
    if let (Some(members), Some(why)) = (told.as_object_mut(), why) {
        members.insert("why".to_owned(), why);
    }
    told
}

/// All of a message, as far as it can be text.
fn whole(message: &Message) -> Value {
    let headers: Vec<Value> = message.headers.iter().map(|(name, value)| json!([name, value.as_text()])).collect();
    let of = &message.properties;
    let mut properties = serde_json::Map::new();
    for (name, value) in [
        ("content_type", &of.content_type),
        ("content_encoding", &of.content_encoding),
        ("message_id", &of.message_id),
        ("correlation_id", &of.correlation_id),
        ("reply_to", &of.reply_to),
        ("type", &of.kind),
        ("expiration", &of.expiration),
        ("app_id", &of.app_id),
        ("user_id", &of.user_id),
        ("cluster_id", &of.cluster_id),
        ("routing", &of.routing),
    ] {
        if let Some(value) = value {
            properties.insert(name.to_owned(), value.as_str().into());
        }
    }
    let body = match std::str::from_utf8(&message.body) {
        Ok(text) => json!({"text": text}),
        Err(_) => json!({"base64": encode_base64(&message.body)}),
    };
    json!({"headers": headers, "properties": properties, "body": body})
}
