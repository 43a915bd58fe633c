//! docs/protocol.md lists every error code, every close code and every limit.
#![allow(missing_docs)]

use std::time::Duration;

use teahouse_core::limits::*;
use teahouse_core::{CloseCode, ErrorCode, Language};

const PROTOCOL: &str = include_str!("../../../docs/protocol.md");

/// The rows of the tables below this heading, up to the next heading of its level or above; each row as its cells.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let level = heading.chars().take_while(|c| *c == '#').count();
    let ends = |line: &str| {
        let marks = line.chars().take_while(|c| *c == '#').count();
        (1..=level).contains(&marks)
    };
    let lines = PROTOCOL.lines().skip_while(|line| *line != heading).skip(1).take_while(|line| !ends(line));
    let tables = lines.filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    tables.map(|row| row.split('|').map(str::trim).collect()).collect()
}

#[test]
fn the_protocol_lists_every_error_code_with_its_status_and_message() {
    let rows = rows("### Errors");
    for code in ErrorCode::ALL {
        let again = if code.retry_helps() { "yes" } else { "no" };
        let row = [
            format!("`{}`", code.as_str()),
            code.http_status().to_string(),
            again.to_owned(),
            code.sentence(Language::En).to_owned(),
        ];
        assert!(rows.iter().any(|cells| *cells == row), "there is no row {row:?}");
    }
    assert_eq!(rows.len(), ErrorCode::ALL.len() + 2, "each code has one row, below the head");
}

#[test]
fn the_protocol_lists_every_close_code_with_its_reason() {
    let rows = rows("## Closing");
    for code in CloseCode::ALL {
        let reconnects = if code.reconnects() { "yes" } else { "no" };
        let is_its = |cells: &&Vec<&str>| cells[0] == code.code().to_string();
        let its: Vec<_> = rows.iter().filter(is_its).collect();
        let [cells] = &its[..] else { panic!("{} has {} rows", code.code(), its.len()) };
        assert_eq!((cells[1], cells[3]), (code.reason(), reconnects), "{}", code.code());
    }
    assert_eq!(rows.len(), CloseCode::ALL.len() + 2, "each code has one row, below the head");
}

/// Asserts that the table of limits has these rows.
fn assert_limits(promised: &[(&str, usize)]) {
    let rows = rows("## Limits");
    for (what, most) in promised {
        let row = [(*what).to_owned(), most.to_string()];
        assert!(rows.iter().any(|cells| *cells == row), "there is no row {row:?}");
    }
}

#[test]
fn the_protocol_lists_the_limits_of_pages_lists_and_strangers() {
    assert_limits(&[
        ("direct rooms that `welcome` lists, besides those that `hello` names", DIRECTS_LISTED as usize),
        ("characters of the content of a `last_message`", PREVIEW_CHARS_MAX),
        ("new strangers whom a user invites or writes to in a day (`limits.strangers_per_day`)", STRANGERS_PER_DAY),
        ("invites from strangers that wait for one user", INVITES_PER_USER_MAX as usize),
        ("invites from strangers to one room", INVITES_PER_ROOM_MAX as usize),
        (
            "bytes of a page of messages, members or users (texts, approximately; always one entry). A reset and a page of a \
             classic conversation are not split",
            PAGE_BYTES_MAX,
        ),
    ]);
}

#[test]
fn the_protocol_lists_every_limit() {
    let seconds = |time: Duration| time.as_secs() as usize;
    let promised: &[(&str, usize)] = &[
        ("characters (Unicode scalar values) of a v1 message", CONTENT_CHARS_MAX),
        ("characters of a classic lobby message", CLASSIC_CONTENT_CHARS_MAX),
        ("characters of a classic private message", PRIVATE_CONTENT_CHARS_MAX),
        ("bytes of a frame", FRAME_BYTES_MAX),
        ("characters of an envelope's `id`", REQUEST_ID_CHARS_MAX),
        ("characters of a `client_id` or `Idempotency-Key`", CLIENT_ID_CHARS_MAX),
        ("seconds until `hello` (`sessions.hello_timeout`)", seconds(HELLO_TIMEOUT)),
        (
            "milliseconds without other traffic before a `heartbeat` (`heartbeat_ms`; `sessions.heartbeat_interval`)",
            seconds(HEARTBEAT_INTERVAL) * 1000,
        ),
        ("changes in a catch-up after `hello` or `sync`; beyond them `reset`", CATCH_UP_CHANGES_MAX as usize),
        ("messages that follow a `reset`", RESET_MESSAGES as usize),
        ("messages in a page of history", PAGE_MESSAGES_MAX as usize),
        ("messages in a page of history when no `limit` is given", PAGE_MESSAGES_DEFAULT as usize),
        ("entries in a page of rooms, direct rooms, members or users", PAGE_ENTRIES as usize),
        ("characters of a `query`", QUERY_CHARS_MAX),
        ("characters of a room's name", *ROOM_NAME_CHARS.end()),
        ("characters of a room's title", ROOM_TITLE_CHARS_MAX),
        ("rooms of one user, direct ones not counted", ROOMS_PER_USER_MAX as usize),
        ("members of a room in which `typing` works", TYPING_MEMBERS_MAX as usize),
        ("seconds until `typing` expires", seconds(TYPING_EXPIRY)),
        ("members of a private room whose read marks all members receive", READS_MEMBERS_MAX as usize),
        ("members of a room whose presence lists users", PRESENCE_MEMBERS_MAX as usize),
        ("ids in one `presence` event", PRESENCE_IDS_MAX),
        ("presence ticks a second", (Duration::from_secs(1).as_millis() / PRESENCE_TICK.as_millis()) as usize),
        ("bytes of an emoji", EMOJI_BYTES_MAX),
        ("different emoji on one message", REACTIONS_PER_MESSAGE_MAX as usize),
        ("mentions in one message", MENTIONS_MAX),
        ("unread messages that are counted", UNREAD_MAX as usize),
        ("rooms in a list beyond which it is long", LONG_LIST_ENTRIES),
        ("unread messages that are counted in each room of a long list", LONG_LIST_UNREAD_MAX as usize),
        ("malformed envelopes in 10 s", BAD_ENVELOPES_MAX),
        ("devices of one user with a live session (`sessions.per_user`)", DEVICES_PER_USER),
        (
            "seconds that a user stays online after a lost connection (`sessions.presence_linger`)",
            seconds(PRESENCE_LINGER),
        ),
        ("seconds between pings (`sessions.ping_interval`)", seconds(PING_INTERVAL)),
        ("seconds of silence after a ping (`sessions.pong_timeout`)", seconds(PONG_TIMEOUT)),
        ("seconds without progress of the send queue (`sessions.stall_timeout`)", seconds(STALL_TIMEOUT)),
        ("seconds that a socket outlives its token (`sessions.token_grace`)", seconds(TOKEN_GRACE)),
        ("characters of a nickname", NICKNAME_CHARS_MAX),
        ("characters of a `bio`", BIO_CHARS_MAX),
        ("characters of an `avatar`, and its bytes in UTF-8", AVATAR_CHARS_MAX),
        (
            "logins of one user that the refresh cookie continues; beyond them the one that was not used for longest ends",
            LOGINS_PER_USER_MAX as usize,
        ),
        ("characters of an e-mail address", EMAIL_CHARS_MAX),
    ];
    assert_limits(promised);
    assert_eq!(BAD_ENVELOPES_WINDOW, Duration::from_secs(10));
    for (text, chars) in [("`username` 3–20", USERNAME_CHARS), ("`password` 6–50", PASSWORD_CHARS)] {
        let (name, _) = text.split_once(' ').expect("a name and its bounds");
        assert_eq!(text, format!("{name} {}–{}", chars.start(), chars.end()));
        assert!(PROTOCOL.contains(text), "{text}");
    }
}
