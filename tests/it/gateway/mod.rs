//! The gateway over real sockets.

#![expect(clippy::indexing_slicing, clippy::string_slice, clippy::expect_used, reason = "a test ends by panicking")]
#![expect(clippy::print_stderr, reason = "what is skipped is said aloud")]

mod authority;
mod support;

mod bodies;
mod cache;
mod calls;
mod cases;
mod conditional;
mod exchange;
mod faults;
mod faulty;
mod hostile;
mod http;
mod links;
mod lists;
mod lockstep;
mod negotiate;
mod operate;
mod overload;
mod patches;
mod reload;
mod rollout;
mod streams;
mod tls;
mod tls_reload;
mod tls_upstream;
