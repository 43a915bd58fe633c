//! The rules for what people look for rooms and each other by.

use teahouse_core::limits::QUERY_CHARS_MAX;
use teahouse_core::text::longer_than;

/// Why nothing was looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the query is too long")]
pub struct QueryFault;

/// The query without white space around it; nothing at all finds everything.
pub(super) fn check_query(raw: Option<&str>) -> Result<&str, QueryFault> {
    let query = raw.unwrap_or_default().trim();
    if longer_than(query, QUERY_CHARS_MAX) { Err(QueryFault) } else { Ok(query) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_trimmed_and_short() {
        let (longest, longer) = ("茶".repeat(50), "茶".repeat(51));
        let check = |raw: Option<&str>, expect| assert_eq!(check_query(raw), expect, "{raw:?}");
        check(None, Ok(""));
        check(Some(" \t"), Ok(""));
        check(Some(" tea room "), Ok("tea room"));
        check(Some(&longest), Ok(&longest));
        check(Some(&longer), Err(QueryFault));
    }
}
