//! Errors as clients see them, in both dialects and over HTTP: the code, the HTTP status, the message in the reader's
//! language and the field to blame. It knows no HTTP framework; `http` and `socket` write the bytes.

mod api_error;
mod error_mapping;
pub(crate) mod messages;

pub(crate) use api_error::ApiError;
