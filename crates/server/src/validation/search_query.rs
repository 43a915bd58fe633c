//! The text by which users search for rooms and for each other.

use teahouse_core::limits::QUERY_CHARS_MAX;
use teahouse_core::text::longer_than;

/// The query is too long.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the query is too long")]
pub struct InvalidQuery;

/// Trims and checks a query. An absent or empty one matches everything.
///
/// # Errors
/// The query is too long.
pub(crate) fn check_query(raw: Option<&str>) -> Result<&str, InvalidQuery> {
    let query = raw.unwrap_or_default().trim();
    if longer_than(query, QUERY_CHARS_MAX) { Err(InvalidQuery) } else { Ok(query) }
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
        check(Some(&longer), Err(InvalidQuery));
    }
}
