//! Writes what is made from the protocol's own types: `docs/openapi.json` and `packages/types/protocol.ts`, below the
//! directory that is named (`make types`: the project itself). Its test says whether they are up to date.

mod openapi;
mod routes;
mod typescript;

use std::path::Path;

use teahouse_protocol::catalogue::catalogue;

fn made() -> [(&'static str, String); 2] {
    let catalogue = catalogue();
    [
        ("docs/openapi.json", openapi::document(&catalogue)),
        ("packages/types/protocol.ts", typescript::module(&catalogue)),
    ]
}

fn main() -> std::io::Result<()> {
    let Some(root) = std::env::args_os().nth(1) else {
        eprintln!("Whereto? Name the directory that holds docs and sdk.");
        std::process::exit(2);
    };
    for (path, text) in made() {
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
    fn what_is_committed_is_what_is_made() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for (path, text) in made() {
            let committed = std::fs::read_to_string(root.join(path)).unwrap_or_default();
            assert!(committed == text, "{path} is not what the code says: run `make types`, and commit what it wrote");
        }
    }
}
