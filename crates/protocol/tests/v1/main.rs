//! The v1 dialect on the wire, in schemas and in the specification.
#![allow(missing_docs)]

mod documents;
mod fixtures;
mod golden;
mod lines;
mod schemas;
