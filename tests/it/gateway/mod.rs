//! The gateway over real sockets.

#![expect(clippy::indexing_slicing, clippy::string_slice, clippy::expect_used, reason = "a test ends by panicking")]
#![expect(clippy::print_stderr, reason = "what is skipped is said aloud")]

pub(crate) mod authority;
pub(crate) mod cases;
mod support;

mod asynchronous;
mod asynchronous_page;
mod bodies;
mod cache;
mod calls;
mod conditional;
mod duplex;
mod endpoints;
mod endpoints_bounded;
mod endpoints_found;
mod exchange;
mod faults;
mod faulty;
mod flows;
mod follow;
mod grpc;
mod hostile;
mod http;
mod http2_services;
mod idempotency;
mod links;
mod lists;
mod lockstep;
mod messages;
mod negotiate;
mod operate;
mod operations;
mod overload;
mod patches;
mod process;
mod publish;
mod publish_real;
mod reload;
mod rollout;
mod simple;
mod streams;
mod tls;
mod tls_reload;
mod tls_upstream;
mod upgrade;
mod vanished;
