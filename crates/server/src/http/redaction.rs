//! Redacts secrets in a request's URL for the log (docs/internals/regressions.md, P18): the classic front end has to
//! put its token into the URL.

/// Maximum characters of a URL in a log line.
const LOGGED_CHARS_MAX: usize = 512;

const REDACTED: &str = "[redacted]";

/// A path and query in which the values of secret parameters are redacted.
#[must_use]
pub(crate) fn redacted(path_and_query: &str) -> String {
    let mut line = String::with_capacity(path_and_query.len());
    for (index, pair) in path_and_query.split('&').enumerate() {
        if index > 0 {
            line.push('&');
        }
        push_redacted(pair, &mut line);
    }
    match line.char_indices().nth(LOGGED_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// Appends a pair, without everything after the first secret name. A careless client joins pairs with `?`, so a name
/// may follow one.
fn push_redacted(pair: &str, line: &mut String) {
    for (index, piece) in pair.split('?').enumerate() {
        if index > 0 {
            line.push('?');
        }
        match piece.split_once('=') {
            Some((name, _)) if is_secret(name) => {
                line.push_str(name);
                line.push('=');
                line.push_str(REDACTED);
                return;
            }
            _ => line.push_str(piece),
        }
    }
}

/// Whether a parameter is secret by its percent-decoded name.
fn is_secret(name: &str) -> bool {
    let name = percent_decoded(name).to_ascii_lowercase();
    ["token", "secret", "password", "key", "jwt", "auth", "bearer", "ticket"].iter().any(|word| name.contains(word))
}

fn percent_decoded(name: &str) -> String {
    let mut text = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        match (first, tail) {
            (b'%', [high, low, after @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                text.push(hex(*high).unwrap_or_default() * 16 + hex(*low).unwrap_or_default());
                rest = after;
            }
            _ => {
                text.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p18_no_token_is_left_in_a_logged_url() {
        for (address, expect) in [
            ("/api/chat/ws?token=eyJ.a.b", "/api/chat/ws?token=[redacted]"),
            ("/api/chat/ws?_t=1&token=eyJ.a.b&x=2", "/api/chat/ws?_t=1&token=[redacted]&x=2"),
            ("/api/chat/ws?TOKEN=eyJ", "/api/chat/ws?TOKEN=[redacted]"),
            ("/api/chat/ws?access_token=eyJ", "/api/chat/ws?access_token=[redacted]"),
            ("/api/chat/ws?%74oken=eyJ", "/api/chat/ws?%74oken=[redacted]"),
            ("/api/chat/ws?t%6Fk%65n=eyJ", "/api/chat/ws?t%6Fk%65n=[redacted]"),
            ("/api/chat/ws?token=a=b", "/api/chat/ws?token=[redacted]"),
            ("/api/chat/ws?token=a?token=b", "/api/chat/ws?token=[redacted]"),
            ("/api/chat/ws?a=1?token=b", "/api/chat/ws?a=1?token=[redacted]"),
            ("/api/chat/ws&token=eyJ", "/api/chat/ws&token=[redacted]"),
            ("/api/chat/ws;token=eyJ", "/api/chat/ws;token=[redacted]"),
            ("/api/chat/messages?limit=5&before_id=7", "/api/chat/messages?limit=5&before_id=7"),
            ("/x?%zz=1&%", "/x?%zz=1&%"),
            ("/", "/"),
        ] {
            assert_eq!(redacted(address), expect);
        }
    }

    #[test]
    fn a_long_url_is_truncated() {
        assert_eq!(redacted(&format!("/{}", "a".repeat(5000))).chars().count(), LOGGED_CHARS_MAX + 1);
    }
}
