//! Writes `docs/openapi.json` and `packages/types/protocol.ts` below a directory, from the tables of the protocol
//! (`make types` names the project itself). Its test compares both with the committed files.

mod errors;
mod openapi;
mod parameters;
mod typescript;

use std::path::Path;

use teahouse_protocol::schema_catalog::schema_catalog;

fn generated_files() -> [(&'static str, String); 2] {
    let catalog = schema_catalog();
    [("docs/openapi.json", openapi::document(&catalog)), ("packages/types/protocol.ts", typescript::module(&catalog))]
}

fn main() -> std::io::Result<()> {
    let Some(root) = std::env::args_os().nth(1) else {
        eprintln!("Usage: schema DIRECTORY, where docs and packages are.");
        std::process::exit(2);
    };
    for (path, text) in generated_files() {
        let path = Path::new(&root).join(path);
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        std::fs::write(path, text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_files_are_the_generated_ones() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for (path, text) in generated_files() {
            let committed = std::fs::read_to_string(root.join(path)).unwrap_or_default();
            assert!(committed == text, "{path} differs from the code: run `make types`, and commit the result");
        }
    }
}
