//! Interfaces: OpenAPI documents as typed views, checked documents, inclusion, generated documents.
