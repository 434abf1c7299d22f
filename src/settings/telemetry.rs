//! The settings of traces and metrics that are sent to an OpenTelemetry collector.

use std::fmt;
use std::fs;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Uri};

use super::read::Reader;

/// What is sent to a collector by OTLP.
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// The collector's base address; none: nothing is sent.
    pub endpoint: Option<Uri>,
    /// Whether requests are traced.
    pub traces: bool,
    /// Share of the requests, 0 to 1, that begin a trace, of those that do not continue one.
    pub ratio: f64,
    /// Whether the caller's sampled flag decides for traces that it began.
    pub trusts_callers: bool,
    /// How often metrics are sent; none: never.
    pub metrics_every: Option<Duration>,
    /// Most spans that wait to be sent.
    pub queue: usize,
    /// Longest time that a span waits for others to be sent with.
    pub delay: Duration,
    /// Longest time that one sending may take.
    pub timeout: Duration,
    /// What this process is, as key and value.
    pub resource: Vec<(String, String)>,
    /// Sent with each message, such as credentials.
    pub headers: Headers,
}

/// Header fields that must not be shown.
#[derive(Clone, Default)]
pub struct Headers(pub Vec<(HeaderName, HeaderValue)>);

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(name, _)| (name, "***"))).finish()
    }
}

impl Reader {
    /// Reads the section `telemetry`.
    pub(super) fn telemetry(&mut self) -> Telemetry {
        let text: String = self.take("telemetry.endpoint");
        let endpoint = (!text.is_empty()).then(|| text.parse::<Uri>().ok()).flatten();
        let endpoint = endpoint.filter(|uri| {
            uri.scheme_str() == Some("http")
                && uri.query().is_none()
                && !text.contains('@')
                && uri.host().is_some_and(|host| !host.is_empty())
        });
        if !text.is_empty() && endpoint.is_none() {
            self.wrong("telemetry.endpoint", "must be `http://host:port`, with an optional base path");
        }
        if endpoint.is_some() && cfg!(not(feature = "otlp")) {
            self.wrong("telemetry.endpoint", "cannot be used: this program was built without the feature `otlp`");
        }
        let mut resource = Vec::new();
        for pair in self.take::<Vec<String>>("telemetry.resource") {
            match pair.split_once('=').filter(|(key, _)| !key.trim().is_empty()) {
                Some((key, value)) => resource.push((key.trim().to_owned(), value.trim().to_owned())),
                None => self.wrong("telemetry.resource", &format!("`{pair}` is not `key=value`")),
            }
        }
        let every = self.time_or_zero("telemetry.metrics_every");
        Telemetry {
            endpoint,
            traces: self.take("telemetry.traces"),
            ratio: self.share("telemetry.ratio"),
            trusts_callers: self.take("telemetry.trusts_callers"),
            metrics_every: (!every.is_zero()).then_some(every),
            queue: self.size("telemetry.queue"),
            delay: self.time("telemetry.delay"),
            timeout: self.time("telemetry.timeout"),
            resource,
            headers: self.headers("telemetry.headers_file"),
        }
    }

    /// A file of `Name: value` lines.
    fn headers(&mut self, key: &str) -> Headers {
        let Some(path) = self.path(key) else { return Headers::default() };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => {
                self.wrong(key, &format!("{} cannot be read: {error}", path.display()));
                return Headers::default();
            }
        };
        let mut headers = Vec::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let field = line.split_once(':').and_then(|(name, value)| {
                let mut value = HeaderValue::from_str(value.trim()).ok()?;
                value.set_sensitive(true);
                Some((name.trim().parse().ok()?, value))
            });
            match field {
                Some(field) => headers.push(field),
                // What stands there may be a secret.
                None => self.wrong(key, &format!("line {} is not `Name: value`", number + 1)),
            }
        }
        Headers(headers)
    }
}
