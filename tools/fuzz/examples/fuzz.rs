//! libFuzzer driver for the check that TEAHOUSE_FUZZ_TARGET names. scripts/fuzz.sh builds and runs it.
#![no_main]
#![allow(unsafe_code, reason = "libFuzzer calls an exported C function")]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use teahouse_fuzz::{Check, TARGETS};

static CHECK: OnceLock<Check> = OnceLock::new();

fn selected_check() -> Check {
    let name = std::env::var("TEAHOUSE_FUZZ_TARGET").unwrap_or_default();
    let target = TARGETS.iter().find(|target| target.0 == name);
    target.unwrap_or_else(|| panic!("TEAHOUSE_FUZZ_TARGET is {name:?}, which is not a target")).1
}

fuzz_target!(init: { CHECK.get_or_init(selected_check); }, |bytes: &[u8]| CHECK.get_or_init(selected_check)(bytes));
