//! Requests by message, and their replies.
//!
//! A request that passes a flow of a channel with `replies` gets the gateway's own reply address and correlation id
//! ([`request`]); where its reply is wanted is kept before it is published ([`pending`]). What comes to the gateway's
//! address is translated to the requester's version and published where that has asked for it ([`reply`]).

pub mod pending;
pub(in crate::messaging) mod reply;
pub(crate) mod request;
