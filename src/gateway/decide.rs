//! Who asks, for which version, and who answers; and what a caller is told of a version's end.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::request::Parts;
use http::{HeaderMap, header};

use super::chance::random;
use super::target::Target;
use super::tls::Secured;
use super::trouble::{Kind, Trouble};
use crate::plan::{Asking, Ending, ServicePlan};

/// What is decided before a request is answered.
#[derive(Debug)]
pub(super) struct Decided {
    /// Who the request comes from, as far as it says so.
    pub(super) consumer: Option<String>,
    /// Index of the version that the caller speaks.
    pub(super) asked: usize,
    /// Index of the version whose service answers.
    pub(super) served: usize,
    /// Whether a tester has chosen who answers.
    pub(super) is_chosen: bool,
}

/// Decides it.
///
/// # Errors
/// The version is not clear, or a tester chose one that cannot answer.
pub(super) fn decide(service: &Arc<ServicePlan>, target: &Target, parts: &Parts) -> Result<Decided, Trouble> {
    let unclear = |unclear| {
        Trouble::from_unclear(&unclear, service.versions.iter().map(|version| version.name.clone()).collect())
    };
    let certified = parts.extensions.get::<Secured>().and_then(|secured| secured.certified.as_deref());
    let consumer = service.consumer_of(&parts.headers, certified);
    let pinned = service.pinned(consumer.as_deref());
    let asked = service.negotiate(&target.path, target.query.as_deref(), &parts.headers, pinned).map_err(unclear)?;
    let chosen = service.chosen_answer(&parts.headers).map_err(unclear)?;
    let served = chosen.unwrap_or_else(|| {
        let asking = Asking {
            method: parts.method.as_str(),
            target: (&target.path, target.query.as_deref()),
            headers: &parts.headers,
            consumer: consumer.as_deref(),
        };
        service.assigned(asked, asking, random)
    });
    Ok(Decided { consumer, asked, served, is_chosen: chosen.is_some() })
}

impl Decided {
    /// Refuses callers that this version is not for, any more or at all.
    ///
    /// # Errors
    /// 410 after its end, 403 for consumers that may not ask for it.
    pub(super) fn admit(&self, service: &ServicePlan) -> Result<(), Trouble> {
        let Some(version) = service.versions.get(self.asked) else { return Ok(()) };
        let gone_from = version.ending.as_ref().and_then(|ending| ending.gone_from);
        if gone_from.is_some_and(|moment| now() >= moment) {
            let mut trouble = Trouble::new(Kind::Gone).detail(format!("{} has ended", version.name));
            let is_left = |other: &&crate::plan::VersionPlan| {
                other.ending.as_ref().and_then(|ending| ending.gone_from).is_none_or(|moment| now() < moment)
            };
            trouble.versions = service.versions.iter().filter(is_left).map(|version| version.name.clone()).collect();
            return Err(trouble);
        }
        if !service.admits(self.asked, self.consumer.as_deref()) {
            let who = if self.consumer.is_some() { "this consumer" } else { "callers who do not say who they are" };
            return Err(Trouble::new(Kind::Forbidden).detail(format!("{} is not for {who}", version.name)));
        }
        Ok(())
    }

    /// What callers of the version are told of its end.
    pub(super) fn ending<'s>(&self, service: &'s ServicePlan) -> Option<&'s Ending> {
        service.versions.get(self.asked)?.ending.as_ref()
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Tells a caller of its version's end. What the service says of the end of its own version is not about that one.
pub(super) fn tell_ending(ending: &Ending, headers: &mut HeaderMap) {
    for (name, value) in &ending.headers {
        if *name == header::LINK {
            headers.append(name, value.clone());
        } else {
            headers.insert(name, value.clone());
        }
    }
}
