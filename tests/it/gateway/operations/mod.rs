//! What operators do with a running gateway.

mod process;

mod admin;
mod logs;
mod manager;
mod upgrade;
