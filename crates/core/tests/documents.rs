//! The tables of codes stand whole in the specification, so that nobody meets a code that it does not name.
#![allow(missing_docs)]

use teahouse_core::{CloseCode, ErrorCode};

const PROTOCOL: &str = include_str!("../../../docs/protocol.md");

#[test]
fn every_error_code_stands_in_the_protocols_document() {
    for code in ErrorCode::ALL {
        assert!(PROTOCOL.contains(&format!("`{}`", code.as_str())), "{} is missing", code.as_str());
    }
}

#[test]
fn every_close_code_stands_in_the_protocols_document() {
    for code in CloseCode::ALL {
        let number = code.code().to_string();
        let is_row = |line: &str| line.starts_with('|') && line.contains(&number);
        assert!(PROTOCOL.lines().any(is_row), "{number} is in no table");
    }
}
