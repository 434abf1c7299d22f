//! The gateway over real sockets.

mod support;

mod exchange;
mod http;
mod negotiate;
mod operate;
mod reload;
