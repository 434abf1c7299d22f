//! Listeners, negotiation, the life of a request, upstreams, bodies, errors, admin.
