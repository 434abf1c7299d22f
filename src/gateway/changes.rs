//! What an operator can have changed while the gateway runs, each change told to [`super::audit`].

use std::sync::Arc;
use std::time::Duration;

use super::audit::{Audit, Change, Who};
use super::generation::Current;
use super::levels::Levels;
use super::manager;
use super::reload::Reloader;
use super::status::Status;
use super::tls::Certificates;

/// Makes changes.
#[derive(Debug, Clone)]
pub(super) struct Changes {
    pub(super) reloader: Arc<Reloader>,
    pub(super) certificates: Arc<Certificates>,
    pub(super) current: Arc<Current>,
    pub(super) levels: Arc<Levels>,
    pub(super) audit: Arc<Audit>,
}

impl Changes {
    /// Reads certificates and rules again. `why`: for messages.
    pub(super) async fn reload(&self, who: &Who, why: &'static str) -> Arc<Status> {
        let is_asked = !matches!(who, Who::Files);
        if is_asked {
            manager::reloading();
        }
        if let Some(result) = self.certificates.reload(why).await {
            let problems = self.certificates.problems();
            let change = Change { action: "certificates", result, generations: None, detail: problems.join("; ") };
            self.audit.tell(who, &change);
        }
        let (before, said) = (self.current.snapshot(), self.reloader.status());
        let status = self.reloader.reload(why).await;
        if is_asked || !status.says_the_same_as(&said) {
            let after = self.current.snapshot();
            let change = Change {
                action: "reload",
                result: status.result(),
                generations: Some((&before, &after)),
                detail: status.refused(),
            };
            self.audit.tell(who, &change);
        }
        if is_asked {
            manager::ready(false);
        }
        status
    }

    /// Changes what is told in messages.
    ///
    /// # Errors
    /// What is wrong with the level.
    pub(super) fn level(&self, who: &Who, target: Option<&str>, level: &str, time: Duration) -> Result<(), String> {
        let filter = self.levels.change(target, level, time)?;
        let detail = format!("{filter} for {} s", time.as_secs());
        self.audit.tell(who, &Change { action: "log", result: "changed", generations: None, detail });
        Ok(())
    }

    /// What is told in messages is again what the settings say.
    pub(super) fn level_back(&self, who: &Who) {
        self.levels.reset();
        self.audit.tell(who, &Change { action: "log", result: "reset", generations: None, detail: String::new() });
    }
}
