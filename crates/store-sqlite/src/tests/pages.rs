//! Pages of history that one snapshot cannot read.

use teahouse_core::MessageId;

use super::*;

#[tokio::test]
async fn a_page_by_id_keeps_its_bytes_however_many_snapshots_it_takes() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _sink, amy) = open_store(options(&directory)).await;
    let room = store.create_room(new_room(amy, RoomKind::Private, "gaps")).await.unwrap().id;
    // One long message in each span of 2,000, and deleted ones: as many as one snapshot looks at.
    let fill = format!(
        "WITH RECURSIVE k (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM k WHERE i < 20000)
         INSERT INTO messages (room, seq, version, first_version, sender, content, state, sent_at)
         SELECT {room}, i, i, i, {amy}, iif(i % 2000 = 7, printf('%.4000c', 'a'), ''), i % 2000 <> 7, 0 FROM k;
         UPDATE rooms SET version = 20000, last_seq = 20000 WHERE id = {room};",
        room = room.0,
        amy = amy.0
    );
    store.change(move |group| group.conn.execute_batch(&fill)).await.unwrap();
    let limit = PageLimit { entries: 100, bytes: 10_000 };
    for newer in [false, true] {
        let (mut pages, mut from) =
            (Vec::new(), if newer { HistoryFrom::After(MessageId(0)) } else { HistoryFrom::Newest });
        loop {
            let page = store.history(room, HistoryQuery { from, limit }).await.unwrap();
            pages.push(page.messages.len());
            if !page.has_more {
                break;
            }
            from = if newer {
                HistoryFrom::After(page.messages.last().unwrap().id)
            } else {
                HistoryFrom::Before(page.messages[0].id)
            };
        }
        assert_eq!(pages, [2; 5], "newer: {newer}");
    }
}
