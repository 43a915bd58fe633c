//! Finds public rooms by a part of their names or titles. A table holds the pieces of each room's texts: each character,
//! and each pair of neighbours. A page scans a bounded number of rooms that have the rarest piece of the query, so it can
//! be short or empty; the next page goes on where it stopped.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};
use teahouse_core::{RoomCard, RoomId, UserId};

use crate::row::{self, Sql, get, id};

/// How many rooms one page scans: some milliseconds of work.
const SCANNED_MAX: u32 = 2000;
/// Up to how many rooms each piece of a query is counted, to find the rarest.
const COUNTED_MAX: u32 = 100;

/// The pieces of the keys of a room's name and title.
pub(crate) fn pieces(name_key: &str, title_key: &str) -> BTreeSet<String> {
    let mut pieces = BTreeSet::new();
    for text in [name_key, title_key] {
        pieces.extend(text.chars().map(String::from));
        pieces.extend(pairs(text));
    }
    pieces
}

/// Each pair of neighbouring characters.
fn pairs(text: &str) -> impl Iterator<Item = String> {
    text.chars().zip(text.chars().skip(1)).map(|(one, next)| String::from_iter([one, next]))
}

/// Makes a public room findable by its new pieces, and no longer by the old ones.
pub(crate) fn replace_pieces(
    conn: &Connection,
    room: RoomId,
    old: &BTreeSet<String>,
    new: &BTreeSet<String>,
) -> Sql<()> {
    conn.prepare_cached("DELETE FROM room_pieces WHERE room = ?1 AND piece IN (SELECT value FROM json_each(?2))")?
        .execute(params![id(room.0), row::text_list(old.difference(new))])?;
    conn.prepare_cached("INSERT INTO room_pieces (piece, room) SELECT value, ?1 FROM json_each(?2)")?
        .execute(params![id(room.0), row::text_list(new.difference(old))])?;
    Ok(())
}

/// The candidates for a page, as [`read_page`] reads them: ?1 is the user, ?2 the room before the page, ?3 the piece, ?4
/// how many to look at, ?5 the query.
macro_rules! select_candidates {
    ($candidates:literal) => {
        concat!(
            // `instr` has no wildcards: any query is plain text.
            "SELECT r.id, r.name, r.title, r.members, (instr(r.name_key, ?5) > 0 OR instr(r.title_key, ?5) > 0) \
             AND NOT EXISTS (SELECT 1 FROM members m WHERE m.room = r.id AND m.user = ?1) FROM (",
            $candidates,
            " LIMIT ?4) candidate CROSS JOIN rooms r ON r.id = candidate.room"
        )
    };
}

/// Public rooms above `after` that a user is not in and whose name or title contains the query, ordered by id; and the
/// room after which the next page begins, unless this is the last one.
pub(crate) fn browse(
    conn: &Connection,
    user: UserId,
    query: &str,
    after: RoomId,
    limit: u32,
) -> Sql<(Vec<RoomCard>, Option<RoomId>)> {
    const ALL: &str =
        select_candidates!("SELECT id AS room FROM rooms WHERE kind = 'public' AND id > ?2 AND ?3 IS NULL ORDER BY id");
    const WITH_PIECE: &str =
        select_candidates!("SELECT room FROM room_pieces WHERE piece = ?3 AND room > ?2 ORDER BY room");
    let query = row::key(query);
    let piece = rarest_piece(conn, &query)?;
    let mut statement = conn.prepare_cached(if piece.is_some() { WITH_PIECE } else { ALL })?;
    let mut rows = statement.query(params![id(user.0), id(after.0), piece, SCANNED_MAX, query])?;
    let (mut cards, mut scanned, mut last) = (Vec::<RoomCard>::new(), 0, after);
    while let Some(row) = rows.next()? {
        last = RoomId(get(row, 0)?);
        scanned += 1;
        if !row.get::<_, bool>(4)? {
            continue;
        }
        if cards.len() == limit as usize {
            let next = cards.last().map(|card| card.id);
            return Ok((cards, next));
        }
        cards.push(RoomCard { id: last, name: row.get(1)?, title: row.get(2)?, members: row.get(3)? });
    }
    Ok((cards, (scanned == SCANNED_MAX).then_some(last)))
}

/// The piece of a query that the fewest rooms have; `None` for an empty query.
fn rarest_piece(conn: &Connection, query: &str) -> Sql<Option<String>> {
    let mut pieces: BTreeSet<String> = pairs(query).collect();
    if pieces.is_empty() {
        pieces.extend(query.chars().next().map(String::from));
    }
    if pieces.len() < 2 {
        return Ok(pieces.pop_first());
    }
    conn.prepare_cached(
        "SELECT piece.value FROM json_each(?1) piece ORDER BY \
             (SELECT count(*) FROM (SELECT 1 FROM room_pieces p WHERE p.piece = piece.value LIMIT ?2)) LIMIT 1",
    )?
    .query_row(params![row::text_list(&pieces), COUNTED_MAX], |row| row.get(0))
    .map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_single_characters_and_pairs_within_one_text() {
        let check = |name: &str, title: &str, expect: &[&str]| {
            assert_eq!(
                pieces(name, title).iter().map(String::as_str).collect::<Vec<_>>(),
                expect,
                "{name:?} {title:?}"
            );
        };
        check("", "", &[]);
        check("a", "b", &["a", "b"]);
        check("tea", "te", &["a", "e", "ea", "t", "te"]);
        check("茶馆", "\"\\", &["\"", "\"\\", "\\", "茶", "茶馆", "馆"]);
    }
}
