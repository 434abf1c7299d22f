//! The gateway over real sockets.

#![expect(clippy::indexing_slicing, clippy::string_slice, clippy::expect_used, reason = "a test ends by panicking")]
#![expect(clippy::print_stderr, reason = "what is skipped is said aloud")]

mod authority;
mod support;

mod asynchronous;
mod asynchronous_page;
mod bodies;
mod cache;
mod calls;
mod conditional;
mod exchange;
mod follow;
mod http;
mod idempotency;
mod links;
mod lists;
mod lockstep;
mod negotiate;
mod operate;
mod patches;
mod process;
mod reload;
mod rollout;
mod streams;
mod tls;
mod tls_reload;
mod tls_upstream;
