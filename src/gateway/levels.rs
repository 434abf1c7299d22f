//! How much is told in messages, changed while the process runs, for a time.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tracing_subscriber::filter::{LevelFilter, Targets};

use super::access_log::rfc3339;
use crate::messaging::brokers::CLIENTS;
use crate::settings::speaks_of_others;

/// Nobody looks longer than that at once.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

const WRONG: &str = "a level is off, error, warn, info, debug or trace";

type Apply = Box<dyn Fn(Targets) + Send + Sync>;

/// What is told of what.
pub(crate) struct Levels {
    /// As the settings say.
    base: String,
    /// Puts a filter into service.
    apply: Apply,
    changed: Mutex<Vec<Changed>>,
}

/// A change for a time.
#[derive(Debug, Clone)]
struct Changed {
    /// A filter of its own, or the level of one target.
    filter: String,
    until: Instant,
    until_wall: SystemTime,
}

impl fmt::Debug for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Levels").field("base", &self.base).field("changed", &self.changed).finish_non_exhaustive()
    }
}

impl Levels {
    /// Levels as the settings say; `apply` puts a filter into service.
    pub(crate) fn new(base: &str, apply: impl Fn(Targets) + Send + Sync + 'static) -> Self {
        let levels = Self { base: base.to_owned(), apply: Box::new(apply), changed: Mutex::default() };
        levels.apply(&levels.changed());
        levels
    }

    /// Levels of a process whose messages are somebody else's.
    pub(crate) fn of_others() -> Self {
        Self { base: String::new(), apply: Box::new(|_| {}), changed: Mutex::default() }
    }

    fn changed(&self) -> MutexGuard<'_, Vec<Changed>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the level of one target or, where none is named, of all of the gateway's own, until `time` has passed.
    ///
    /// # Errors
    /// What is wrong with the level.
    pub(super) fn change(
        self: &Arc<Self>,
        target: Option<&str>,
        level: &str,
        time: Duration,
    ) -> Result<String, String> {
        let filter = match target {
            Some(target) => {
                let is_name = target.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:".contains(&byte));
                if target.is_empty() || !is_name {
                    return Err("a target is a name such as `bifocal::gateway`".to_owned());
                }
                format!("{target}={level}")
            }
            // A level alone is that of the gateway: those of libraries tell of nothing that operators look for.
            None if level.parse::<LevelFilter>().is_ok() => format!("bifocal={level}"),
            // A word that is no level would be taken for the name of a target.
            None if !level.contains('=') => return Err(WRONG.to_owned()),
            None => level.to_owned(),
        };
        if filter.parse::<Targets>().is_err() {
            return Err(WRONG.to_owned());
        }
        if speaks_of_others(&filter) {
            return Err("libraries may be raised to `info`: above it they write headers of requests, credentials \
                        included, into the log"
                .to_owned());
        }
        if time.is_zero() || time > LONGEST {
            return Err(format!("a level is changed for at most {} hours", LONGEST.as_secs() / 3600));
        }
        let (until, until_wall) = (Instant::now() + time, SystemTime::now() + time);
        let mut changed = self.changed();
        changed.retain(|one| one.filter.split('=').next() != filter.split('=').next());
        changed.push(Changed { filter: filter.clone(), until, until_wall });
        self.apply(&changed);
        drop(changed);
        let this = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep_until(until.into()).await;
            this.expire();
        });
        Ok(filter)
    }

    /// Back to what the settings say.
    pub(super) fn reset(&self) {
        let mut changed = self.changed();
        changed.clear();
        self.apply(&changed);
    }

    /// Whether anything is not as the settings say.
    pub(super) fn is_changed(&self) -> bool {
        !self.changed().is_empty()
    }

    fn expire(&self) {
        let now = Instant::now();
        let mut changed = self.changed();
        let before = changed.len();
        changed.retain(|one| one.until > now);
        if changed.len() < before {
            self.apply(&changed);
            tracing::info!("a change of the log level has ended");
        }
    }

    fn apply(&self, changed: &[Changed]) {
        // The level has been checked with the other settings.
        let mut filter: Targets = self.base.parse().unwrap_or_default();
        if !self.base.contains("audit") {
            // Who has changed what is always told.
            filter = filter.with_target("audit", LevelFilter::INFO);
        }
        for client in CLIENTS.into_iter().filter(|client| !self.base.contains(client)) {
            // They take what every lost connection brings for errors, and write whole messages; the flow says why it waits.
            filter = filter.with_target(client, LevelFilter::OFF);
        }
        for one in changed {
            let own: Targets = one.filter.parse().unwrap_or_default();
            filter = filter.with_targets(own.iter().map(|(target, level)| (target.to_owned(), level)));
            if let Some(level) = own.default_level().filter(|level| *level != LevelFilter::OFF) {
                filter = filter.with_default(level);
            }
        }
        (self.apply)(filter);
    }

    /// For the admin interface.
    pub(super) fn as_json(&self) -> Value {
        let time = |at: SystemTime| rfc3339(at.duration_since(UNIX_EPOCH).unwrap_or_default());
        let changed = self.changed();
        let changed: Vec<Value> =
            changed.iter().map(|one| json!({"level": one.filter, "until": time(one.until_wall)})).collect();
        json!({"level": self.base, "changed": changed})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_holds_for_its_time() {
        let applied = Arc::new(Mutex::new(String::new()));
        let seen = applied.clone();
        let levels = Arc::new(Levels::new("info", move |filter| *seen.lock().unwrap() = filter.to_string()));
        assert!(applied.lock().unwrap().contains("info") && applied.lock().unwrap().contains("audit=info"));
        assert!(applied.lock().unwrap().contains("lapin=off") && applied.lock().unwrap().contains("async_nats=off"));
        levels.change(None, "debug", Duration::from_secs(60)).unwrap();
        levels.change(Some("bifocal::gateway"), "trace", Duration::from_secs(60)).unwrap();
        let now = applied.lock().unwrap().clone();
        assert!(now.contains("bifocal=debug") && now.contains("bifocal::gateway=trace"), "{now}");
        assert_eq!(levels.as_json()["changed"].as_array().unwrap().len(), 2);
        levels.change(None, "trace", Duration::from_millis(1)).unwrap();
        while applied.lock().unwrap().contains("bifocal=trace") {
            tokio::task::yield_now().await;
        }
        assert!(applied.lock().unwrap().contains("bifocal::gateway=trace"), "the other one goes on");
        levels.change(Some("lapin"), "error", Duration::from_secs(60)).unwrap();
        assert!(applied.lock().unwrap().contains("lapin=error"), "who looks for it gets it");
        levels.reset();
        assert!(!applied.lock().unwrap().contains("debug") && !levels.is_changed());
        for (target, level, time) in [
            (None, "loud", 60),
            (None, "debug", 0),
            (None, "debug", 90_000),
            (Some("hyper"), "trace", 60),
            (None, "trace,bifocal=debug", 60),
            (Some("a=b,c"), "info", 60),
        ] {
            assert!(levels.change(target, level, Duration::from_secs(time)).is_err(), "{target:?} {level} {time}");
        }
    }
}
