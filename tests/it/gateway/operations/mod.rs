//! What operators do with a running gateway.

pub(super) mod process;

mod admin;
mod documented;
mod logs;
mod manager;
#[cfg(feature = "otlp")]
mod telemetry;
mod upgrade;
