//! The end of a run in the model: all clients reconnect, load all history and stay connected.

use std::collections::BTreeMap;

use serde_json::json;
use teahouse_checker::wire::{Classic, Message, Request, RequestBody, ServerBody};
use teahouse_checker::{Dialect, Fact, Socket};

use super::{LINGER_US, Model, PRIVATE, message};

impl Model {
    /// All clients reconnect, load all history, and stay connected.
    pub(crate) fn quiesce(&mut self) {
        self.advance(2 * LINGER_US);
        self.record_for_all(Fact::ChangesEnded);
        for (user, device, dialect) in
            [(1, "phone", Dialect::V1), (2, "phone", Dialect::V1), (3, "tab", Dialect::Classic)]
        {
            if let Some(before) = self.live(user, device) {
                self.cut(&before);
            }
            let socket = self.connect(user, device, dialect);
            if dialect == Dialect::V1 {
                self.watch_presence(&socket, PRIVATE);
                self.load_history(&socket);
            }
        }
        self.advance(1_000_000);
        for socket in self.live_all() {
            self.record(&socket, Fact::Quiesced);
        }
        self.advance(1_000_000);
        self.list_online(1);
        for socket in self.live_all() {
            match socket.dialect {
                Dialect::V1 => {
                    let id = self.send_request(&socket, RequestBody::Heartbeat {});
                    self.deliver(&socket, Some(&id), ServerBody::Ack(json!({"time": "t"})));
                }
                _ => {
                    self.record(&socket, Fact::RequestSent(Request { id: None, body: RequestBody::Heartbeat {} }));
                    self.record(&socket, Fact::ClassicReceived(Classic::Heartbeat { timestamp: 1 }));
                }
            }
        }
    }

    fn record_for_all(&mut self, fact: Fact) {
        self.now_us += 100;
        self.history.record(self.now_us, None, fact);
    }

    fn load_history(&mut self, socket: &Socket) {
        for room in self.entries(socket.user).iter().map(|entry| entry.id) {
            let id = self.send_request(socket, RequestBody::History { room, before: None, limit: None });
            let mut rows: Vec<_> = self.rows(room).cloned().collect();
            rows.sort_by_key(|row| row.seq);
            let messages: Vec<Message> = rows.iter().map(|row| message(row, None)).collect();
            let mut my_reactions: BTreeMap<u64, Vec<String>> = BTreeMap::new();
            for row in &rows {
                for (emoji, _) in row.reactions.iter().filter(|(_, user)| *user == socket.user) {
                    my_reactions.entry(row.id).or_default().push(emoji.clone());
                }
            }
            let page = json!({"messages": messages, "has_more_before": false, "my_reactions": my_reactions});
            self.deliver(socket, Some(&id), ServerBody::Ack(page));
        }
    }
}
