//! What operators do with a running gateway.

pub(super) mod process;

mod admin;
mod admin_tls;
mod bounded;
mod documented;
mod kept;
mod logs;
mod manager;
mod openmetrics;
#[cfg(feature = "otlp")]
mod telemetry;
mod upgrade;
