//! libFuzzer around one of the checks, the one that TEAHOUSE_FUZZ_TARGET names. scripts/fuzz.sh builds and runs it.
#![no_main]
#![allow(unsafe_code, reason = "libFuzzer calls us by the name of a C function")]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use teahouse_fuzz::{Check, TARGETS};

static CHECK: OnceLock<Check> = OnceLock::new();

fn named() -> Check {
    let name = std::env::var("TEAHOUSE_FUZZ_TARGET").unwrap_or_default();
    let target = TARGETS.iter().find(|target| target.0 == name);
    target.unwrap_or_else(|| panic!("TEAHOUSE_FUZZ_TARGET is {name:?}, which is no target")).1
}

fuzz_target!(init: { CHECK.get_or_init(named); }, |bytes: &[u8]| CHECK.get_or_init(named)(bytes));
