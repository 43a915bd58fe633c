//! Writes the table into a Markdown document, between two markers, and describes the machine and the version.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

const BEGIN: &str = "<!-- bench: begin -->";
const END: &str = "<!-- bench: end -->";

/// Replaces the text between the markers.
pub(crate) fn replace(page: &str, with: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", with.trim()))
}

/// Replaces the text between the markers of a file.
pub(crate) fn write(path: &Path, with: &str) -> io::Result<()> {
    let page = fs::read_to_string(path)?;
    let no_markers =
        || io::Error::new(io::ErrorKind::InvalidData, format!("{} has no {BEGIN} and {END}", path.display()));
    fs::write(path, replace(&page, with).ok_or_else(no_markers)?)
}

/// Describes the machine: processor, cores, memory, kernel.
pub(crate) fn machine(cores: usize) -> String {
    let value = |path: &str, key: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        line.split_once(':').map_or_else(String::new, |(_, value)| value.trim().to_owned())
    };
    let kilobytes = value("/proc/meminfo", "MemTotal");
    let memory = kilobytes.split(' ').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{}, {cores} cores, {} GiB, Linux {}",
        value("/proc/cpuinfo", "model name"),
        memory.div_ceil(1024 * 1024),
        kernel.trim()
    )
}

/// The commit, and whether the tree has changes.
pub(crate) fn version() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success());
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    let is_clean =
        git(&["status", "--porcelain", "--", "crates", "Cargo.lock"]).is_some_and(|changes| changes.is_empty());
    if is_clean { commit } else { format!("{commit} with changes") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_text_between_the_markers_changes() {
        let page = format!("# a\n{BEGIN}\nold\n{END}\nb\n");
        assert_eq!(replace(&page, "new\n"), Some(format!("# a\n{BEGIN}\n\nnew\n\n{END}\nb\n")));
        assert_eq!(replace("# a\n", "new"), None);
    }
}
