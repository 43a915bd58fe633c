//! Benchmarks of the pure parts that run for every frame, session or delivery: decoding frames, attaching and leaving,
//! reading a tail, a presence tick. Run with `cargo bench -p teahouse-hub --bench live`.
#![allow(missing_docs)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use teahouse_core::{AcceptOrder, MessageId, Seq, SessionId, UserId, Version};
use teahouse_hub::clock::MonotonicMs;
use teahouse_hub::registry::{Device, LeaveReason, Registry};
use teahouse_hub::tail::{EncodedChange, Tail, TailMax, TailRead};
use teahouse_hub::websocket::{Decoder, Flow, text_frame};

const USERS: u64 = 10_000;
const LINGER: Duration = Duration::from_secs(5);
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A message of two hundred characters, as a client sends it.
fn client_frame() -> Vec<u8> {
    let text = format!(r#"{{"type":"message","id":"17","data":{{"room":1,"content":"{}"}}}}"#, "x".repeat(200));
    let length = u16::try_from(text.len()).unwrap_or_default();
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend(length.to_be_bytes());
    frame.extend(MASK);
    frame.extend(text.bytes().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

fn websocket(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("websocket");
    let one = client_frame();
    for (name, bytes) in [("one frame", one.clone()), ("sixteen frames in one read", one.repeat(16))] {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("decode {name}"), |bencher| {
            let mut decoder = Decoder::default();
            // Decoding unmasks the bytes in place, so each run needs its own.
            bencher.iter_batched_ref(
                || bytes.clone(),
                |bytes| {
                    decoder.read(bytes, MESSAGE_BYTES_MAX, |event| {
                        black_box(event);
                        Flow::Continue
                    })
                },
                BatchSize::SmallInput,
            );
        });
    }
    let text = "x".repeat(300);
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("encode a frame", |bencher| bencher.iter(|| text_frame(black_box(&text))));
    group.finish();
}

/// Every user has one session.
fn full() -> Registry {
    let mut registry = Registry::new(1, LINGER);
    for user in 0..USERS {
        registry.attach(UserId(user), SessionId(user), AcceptOrder(user), Device::Classic, &mut Vec::new());
    }
    registry
}

fn registry(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("registry of 10,000");
    let now = MonotonicMs::default();
    group.bench_function("a new user attaches and leaves cleanly", |bencher| {
        let (mut registry, mut effects) = (full(), Vec::new());
        let (user, session) = (UserId(USERS), SessionId(USERS));
        bencher.iter(|| {
            effects.clear();
            registry.attach(user, session, AcceptOrder(USERS), Device::Classic, &mut effects);
            registry.leave(now, user, session, LeaveReason::Clean, &mut effects)
        });
    });
    group.bench_function("a newer session displaces, and the displaced one leaves late", |bencher| {
        let (mut registry, mut effects) = (full(), Vec::new());
        let (user, mut newest) = (UserId(0), USERS);
        bencher.iter(|| {
            effects.clear();
            newest += 1;
            let displaced = SessionId(if newest == USERS + 1 { 0 } else { newest - 1 });
            registry.attach(user, SessionId(newest), AcceptOrder(newest), Device::Classic, &mut effects);
            registry.leave(now, user, displaced, LeaveReason::Lost, &mut effects)
        });
    });
    group.bench_function("a tick without changes", |bencher| {
        let (mut registry, mut effects) = (full(), Vec::new());
        bencher.iter(|| registry.tick(black_box(now), &mut effects));
    });
    group.bench_function("a tick that ends every linger", |bencher| {
        let late = now.plus(LINGER).plus(LINGER);
        bencher.iter_batched(
            || {
                let mut registry = full();
                for user in 0..USERS {
                    registry.leave(now, UserId(user), SessionId(user), LeaveReason::Lost, &mut Vec::new());
                }
                (registry, Vec::with_capacity(USERS as usize))
            },
            |(mut registry, mut effects)| {
                registry.tick(late, &mut effects);
                (registry, effects)
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn change(version: u64) -> EncodedChange {
    let frame = text_frame(&"x".repeat(300));
    EncodedChange {
        version: Version(version),
        last_seq: Seq(version),
        classic: Some(frame.clone()),
        receiver: None,
        v1: frame,
        whole: None,
        is_new: true,
        message: MessageId(version),
        author: UserId(1),
        has_reactions: false,
    }
}

fn tail(criterion: &mut Criterion) {
    const ENTRIES: u64 = 1024;
    let mut group = criterion.benchmark_group("tail of 1,024");
    let mut tail = Tail::new(Version(0), Seq(0), TailMax { changes: ENTRIES as usize, bytes: usize::MAX });
    for version in 1..=ENTRIES {
        tail.push(change(version), 0);
    }
    group.bench_function("read at the head", |bencher| {
        bencher.iter(|| matches!(tail.read_after(black_box(Version(ENTRIES))), TailRead::AtHead));
    });
    group.bench_function("read the next change", |bencher| {
        bencher.iter(|| matches!(tail.read_after(black_box(Version(ENTRIES - 1))), TailRead::Next(_)));
    });
    group.throughput(Throughput::Elements(ENTRIES));
    group.bench_function("a cursor reads the whole tail", |bencher| {
        bencher.iter(|| {
            let mut cursor = Version(0);
            while let TailRead::Next(change) = tail.read_after(cursor) {
                cursor = change.version;
            }
            cursor
        });
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("push, which drops the oldest", |bencher| {
        let (mut version, template) = (ENTRIES, change(0));
        bencher.iter(|| {
            version += 1;
            tail.push(EncodedChange { version: Version(version), last_seq: Seq(version), ..template.clone() }, 0)
        });
    });
    group.finish();
}

criterion_group!(benches, websocket, registry, tail);
criterion_main!(benches);
