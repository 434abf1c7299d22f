//! Every integration test in one binary: one module a part.

#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]

mod calls;
mod cli;
mod codecs;
mod corpus_documents;
mod corpus_rules;
mod docs;
mod engine;
mod gateway;
mod gauntlet;
mod general_laws;
mod generated;
mod hostile_interfaces;
mod hostile_rules;
mod jsonpath;
mod laws;
mod line_messages;
mod lines;
mod load;
mod looking_on;
mod memory;
mod messaging;
mod routes;
mod stencils;
mod store;
mod streams;
mod tidy;
mod translate;
