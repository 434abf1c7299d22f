//! What operators do with a running gateway.

mod process;

mod admin;
mod documented;
mod kept;
mod logs;
mod manager;
#[cfg(feature = "otlp")]
mod telemetry;
mod upgrade;
