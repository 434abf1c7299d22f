//! What a request may see: services, version lines, routes and compiled lenses. Immutable once built.

mod exchange;
mod fault;

use std::sync::Arc;

use http::Uri;

pub use crate::codecs::Direction;
pub use crate::rules::checked::TypeId;
pub use exchange::{BodyOut, Exchange, NoRoute, RequestIn, RequestOut, ResponseIn, ResponseOut};
pub use fault::{Fault, FaultKind};

use crate::rules::ast::Negotiator;
use crate::rules::checked::CheckedService;

/// Reused working memory of translations; one per worker, grows to the largest message seen.
#[derive(Debug, Default)]
pub struct Scratch {}

/// Limits that every translation keeps.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Nesting levels of a document.
    pub depth: usize,
    /// Bytes of a translated document.
    pub output: usize,
}

/// Everything that is served, as one value.
#[derive(Debug, Default)]
pub struct Plan {
    services: Vec<Arc<ServicePlan>>,
}

impl Plan {
    /// Joins services into one plan.
    pub fn new(services: Vec<Arc<ServicePlan>>) -> Self {
        Self { services }
    }

    /// The services.
    pub fn services(&self) -> &[Arc<ServicePlan>] {
        &self.services
    }

    /// The service that answers for a host (without port, any case) and path: a named host before any host, then the
    /// longest path prefix.
    pub fn service_for(&self, _host: Option<&str>, _path: &str) -> Option<&Arc<ServicePlan>> {
        self.services.first()
    }
}

/// One compiled service.
#[derive(Debug)]
pub struct ServicePlan {
    /// The folder's name.
    pub name: String,
    /// Lower-case host names; empty: any.
    pub hosts: Vec<String>,
    /// Path prefixes; empty: any.
    pub paths: Vec<String>,
    /// Oldest first.
    pub versions: Vec<VersionPlan>,
    /// How a caller's version is found.
    pub negotiate: Vec<Negotiator>,
    /// The default version's index.
    pub default: Option<usize>,
    /// Header that chooses who answers.
    pub answer_header: Option<http::HeaderName>,
    /// Compiled rules between neighbours.
    pub steps: Vec<StepPlan>,
}

/// One version of a service.
#[derive(Debug)]
pub struct VersionPlan {
    /// Its name.
    pub name: String,
    /// Other spellings.
    pub aliases: Vec<String>,
    /// Its own service, if it runs.
    pub upstream: Option<Uri>,
    /// Who answers its callers by default.
    pub answered_by: usize,
    /// Path prefix that names it.
    pub path: Option<String>,
}

/// Compiled rules between two neighbours.
#[derive(Debug)]
pub struct StepPlan {}

impl StepPlan {
    /// Translates one document of a type, appending to `out`. On error `out` is as it was.
    ///
    /// # Errors
    /// The first [`Fault`] met; places are named as `direction`'s source side names them.
    pub fn translate(
        &self,
        _of: TypeId,
        _direction: Direction,
        _input: &[u8],
        _out: &mut Vec<u8>,
        _scratch: &mut Scratch,
        _limits: Limits,
    ) -> Result<(), Fault> {
        Err(Fault::unwritten())
    }

    /// Writes an old document onto a live new one: unchanged is untouched.
    ///
    /// # Errors
    /// The first [`Fault`] met.
    pub fn put(
        &self,
        _of: TypeId,
        _old: &[u8],
        _base: &[u8],
        _out: &mut Vec<u8>,
        _limits: Limits,
    ) -> Result<(), Fault> {
        Err(Fault::unwritten())
    }
}

impl ServicePlan {
    /// Compiles a checked service. Cannot fail.
    pub fn compile(_service: &CheckedService) -> Self {
        Self {
            name: String::new(),
            hosts: Vec::new(),
            paths: Vec::new(),
            versions: Vec::new(),
            negotiate: Vec::new(),
            default: None,
            answer_header: None,
            steps: Vec::new(),
        }
    }

    /// The route of one exchange between a caller of version `asked` and the service of version `served`.
    ///
    /// `path` is the request's path as on the wire (percent-encoded, no query).
    ///
    /// # Errors
    /// [`NoRoute`] where no rule maps this method and path all the way.
    pub fn exchange(&self, _asked: usize, _served: usize, _method: &str, _path: &str) -> Result<Exchange<'_>, NoRoute> {
        Err(NoRoute { path_known: false })
    }
}
