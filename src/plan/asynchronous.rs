//! Which requests are carried out once, and which later. Pure: reads a request head.

use super::ServicePlan;
use super::query::has_query;
use super::route;
use crate::path::template::Template;
use crate::rules::asynchronous::{Idempotency, Operations};
use crate::rules::publish::Publish;

impl ServicePlan {
    /// Whether anything is kept of this service's requests.
    pub fn keeps_requests(&self) -> bool {
        self.idempotency.is_some() || self.operations.is_some() || !self.publish.is_empty()
    }

    /// How a request becomes a message, if it does.
    pub fn publish_of(&self, asked: usize, method: &str, target: (&str, Option<&str>)) -> Option<&Publish> {
        self.publish.iter().find(|one| self.names(std::slice::from_ref(&one.route), asked, method, target))
    }

    /// What a service says of repeated requests, where it is about this one.
    pub fn idempotency_of(&self, asked: usize, method: &str, target: (&str, Option<&str>)) -> Option<&Idempotency> {
        let rule = self.idempotency.as_ref()?;
        let is_meant = rule.methods.iter().any(|known| known == method);
        (is_meant && self.names(&rule.routes, asked, method, target)).then_some(rule)
    }

    /// What a service says of requests that are carried out later, where it is about this one.
    pub fn operations_of(&self, asked: usize, method: &str, target: (&str, Option<&str>)) -> Option<&Operations> {
        self.operations.as_ref().filter(|rule| self.names(&rule.routes, asked, method, target))
    }

    /// The newest version: everything can be said in its terms.
    pub fn newest(&self) -> usize {
        self.versions.len().saturating_sub(1)
    }

    /// Whether one of these names the request, in the newest version's terms. None at all name every request.
    fn names(&self, routes: &[Template], asked: usize, method: &str, target: (&str, Option<&str>)) -> bool {
        let newest = self.newest();
        if routes.is_empty() {
            return true;
        }
        if asked == newest {
            let (path, query) = target;
            return routes.iter().any(|one| {
                route::takes(one, method) && route::match_path(one, path).is_some() && has_query(one, query)
            });
        }
        let Ok(way) = self.exchange(asked, newest, method, target) else { return false };
        let Some(known) = way.served_template() else { return false };
        let known_method = if known.method == "*" { method } else { &known.method };
        routes.iter().any(|one| route::takes(one, known_method) && one.is_of_shape(known))
    }
}
