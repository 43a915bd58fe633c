//! Writing and reading envelopes. Run by hand:
//! `cargo bench -p teahouse-protocol --bench envelopes`.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use teahouse_core::{
    LOBBY, Message, MessageChange, MessageId, MessageKind, Profile, RoomId, Seq, Timestamp, UserId, Version,
};
use teahouse_protocol::{classic, v1};

fn message() -> Message {
    Message {
        id: MessageId(81),
        room: LOBBY,
        seq: Seq(40),
        version: Version(57),
        sender: Profile { id: UserId(7), username: "amy".into(), nickname: "Amy".into(), avatar: String::new() },
        client_id: Some("01234567-89ab-cdef".into()),
        content: "Good morning, who has tea? ".repeat(8),
        kind: MessageKind::Text,
        reply_to: None,
        mentions: Vec::new(),
        reactions: Vec::new(),
        edited_at: None,
        deleted: false,
        sent_at: Timestamp(1_795_328_736_120),
    }
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    let message = message();
    group.throughput(Throughput::Elements(1));
    group.bench_function("classic message", |bencher| bencher.iter(|| classic::message(black_box(&message))));
    group.bench_function("v1 message", |bencher| {
        bencher.iter(|| v1::message(black_box(&message), Some(&MessageChange::New)));
    });
    group.bench_function("classic count", |bencher| bencher.iter(|| classic::online_count(black_box(12_345))));
    group.bench_function("v1 read", |bencher| {
        bencher.iter(|| v1::read(black_box(RoomId(7)), UserId(9), Seq(40)));
    });
    group.finish();
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    let content = "Good morning, who has tea? ".repeat(8);
    let said = format!(r#"{{"type":"message","data":{{"content":"{content}"}}}}"#);
    group.throughput(Throughput::Bytes(said.len() as u64));
    group.bench_function("classic message", |bencher| bencher.iter(|| classic::read_request(black_box(&said))));
    let data = format!(r#"{{"room":1,"client_id":"01234567-89ab-cdef","content":"{content}"}}"#);
    let said = format!(r#"{{"type":"message","id":"17","data":{data}}}"#);
    group.throughput(Throughput::Bytes(said.len() as u64));
    group.bench_function("v1 message", |bencher| bencher.iter(|| v1::read_envelope(black_box(&said))));
    group.finish();
}

criterion_group!(benches, encode, decode);
criterion_main!(benches);
