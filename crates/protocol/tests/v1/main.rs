//! The v1 dialect as it stands on the wire, in schemas and in the specification.
#![allow(missing_docs)]

mod documents;
mod golden;
mod lines;
mod schemas;
mod stage;
