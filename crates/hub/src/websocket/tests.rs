//! Frames as tables, limits that hold before any allocation, and the same events however the bytes are cut. The Autobahn
//! fuzzing client tests more of RFC 6455 (scripts/autobahn).

use proptest::prelude::*;

use super::*;

const LIMIT: usize = 64 * 1024;

#[derive(Clone, PartialEq, Eq, Debug)]
enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
}

fn client(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xFA, 0x21, 0x3D];
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..=125 => frame.push(0x80 | u8::try_from(short).unwrap()),
        medium @ 126..=0xFFFF => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(medium).unwrap().to_be_bytes());
        }
        long => {
            frame.push(0x80 | 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

fn read_in_chunks(bytes: &[u8], chunk: usize) -> (Vec<Seen>, Result<(), WireError>, Decoder) {
    let mut decoder = Decoder::default();
    let mut seen = Vec::new();
    for piece in bytes.chunks(chunk.max(1)) {
        let result = decoder.read(&mut piece.to_vec(), LIMIT, |event| {
            seen.push(match event {
                Event::Text(text) => Seen::Text(text.to_owned()),
                Event::Binary(bytes) => Seen::Binary(bytes.to_vec()),
                Event::Ping(bytes) => Seen::Ping(bytes.to_vec()),
                Event::Pong => Seen::Pong,
                Event::Close(code) => Seen::Close(code),
            });
            Flow::Continue
        });
        if result.is_err() {
            return (seen, result.map(drop), decoder);
        }
    }
    (seen, Ok(()), decoder)
}

fn read(bytes: &[u8]) -> (Vec<Seen>, Result<(), WireError>) {
    let (seen, result, _) = read_in_chunks(bytes, usize::MAX);
    (seen, result)
}

#[test]
fn whole_messages_and_fragments_with_control_frames_between_them() {
    let check = |frames: &[Vec<u8>], expect: &[Seen]| assert_eq!(read(&frames.concat()), (expect.to_vec(), Ok(())));
    check(&[client(0x81, b"hi")], &[Seen::Text("hi".into())]);
    check(&[client(0x81, b"")], &[Seen::Text(String::new())]);
    check(&[client(0x82, b"\xff")], &[Seen::Binary(vec![0xff])]);
    check(&[client(0x89, b"x"), client(0x8A, b"")], &[Seen::Ping(b"x".to_vec()), Seen::Pong]);
    check(&[client(0x88, b"")], &[Seen::Close(None)]);
    check(&[client(0x88, b"\x03\xe8bye")], &[Seen::Close(Some(1000))]);
    let euro = "€".as_bytes();
    check(
        &[client(0x01, &euro[..1]), client(0x89, b"p"), client(0x00, &euro[1..2]), client(0x80, &euro[2..])],
        &[Seen::Ping(b"p".to_vec()), Seen::Text("€".into())],
    );
}

#[test]
fn invalid_frames_are_refused_with_the_right_code() {
    let unmasked = vec![0x81, 0x02, b'h', b'i'];
    let masked = |first, second: u8| vec![first, 0x80 | second, 0, 0, 0, 0];
    let check = |bytes: Vec<u8>, expect: WireError, code: u16| {
        assert_eq!(read(&bytes).1, Err(expect), "{bytes:02x?}");
        assert_eq!(CloseCode::from(expect).code(), code);
    };
    check(unmasked, WireError::Protocol, 1002);
    for reserved in [0x91, 0xA1, 0xC1, 0xF1] {
        check(client(reserved, b"hi"), WireError::Protocol, 1002);
    }
    for opcode in [0x3, 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF] {
        check(client(0x80 | opcode, b""), WireError::Protocol, 1002);
    }
    for control in [0x08, 0x09, 0x0A] {
        check(client(control, b""), WireError::Protocol, 1002);
        check(client(0x80 | control, &[b'x'; 126]), WireError::Protocol, 1002);
    }
    check(client(0x80, b"continues nothing"), WireError::Protocol, 1002);
    check([client(0x01, b"a"), client(0x81, b"b")].concat(), WireError::Protocol, 1002);
    // Lengths that are not in their shortest form.
    check(vec![0x81, 0xFE, 0, 5, 0, 0, 0, 0], WireError::Protocol, 1002);
    check(vec![0x81, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0], WireError::Protocol, 1002);
    for code in [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65_535] {
        check(client(0x88, &code.to_be_bytes()), WireError::Protocol, 1002);
    }
    check(client(0x88, b"\x03"), WireError::Protocol, 1002);
    check(client(0x88, b"\x03\xe8\xff"), WireError::NotUtf8, 1007);
    check(client(0x81, b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80"), WireError::NotUtf8, 1007);
    check([client(0x01, b"\xe2\x82"), client(0x80, b"x")].concat(), WireError::NotUtf8, 1007);
    assert_eq!(read(&masked(0x81, 0)).1, Ok(()));
}

#[test]
fn a_frame_that_is_too_large_is_refused_by_its_head_alone() {
    let head = |length: u64| [&[0x81, 0xFF][..], &length.to_be_bytes()].concat();
    for length in [LIMIT as u64 + 1, 1 << 40, i64::MAX as u64, 1 << 63, u64::MAX] {
        let (_, result, decoder) = read_in_chunks(&head(length), usize::MAX);
        assert_eq!(result, Err(WireError::TooLarge), "{length}");
        assert_eq!(decoder.partial.capacity(), 0);
    }
    let full = vec![b'x'; LIMIT];
    assert_eq!(read(&client(0x81, &full)).0.len(), 1);
    // Fragments count together.
    let fragments = [client(0x01, &full), client(0x80, b"y")].concat();
    assert_eq!(read(&fragments).1, Err(WireError::TooLarge));
}

#[test]
fn a_million_empty_fragments_take_no_memory() {
    let mut decoder = Decoder::default();
    let mut first = client(0x01, b"");
    decoder.read(&mut first, LIMIT, |_| Flow::Continue).unwrap();
    let thousand: Vec<u8> = (0..1000).flat_map(|_| client(0x00, b"")).collect();
    for _ in 0..1000 {
        decoder.read(&mut thousand.clone(), LIMIT, |_| Flow::Continue).unwrap();
    }
    assert_eq!(decoder.fragments.as_ref().unwrap().payload.capacity(), 0);
    assert_eq!(decoder.partial.capacity(), 0);
    let mut seen = 0;
    decoder
        .read(&mut client(0x80, b"end"), LIMIT, |event| {
            seen += usize::from(event == Event::Text("end"));
            Flow::Continue
        })
        .unwrap();
    assert_eq!(seen, 1);
}

#[test]
fn an_idle_connection_keeps_no_buffer() {
    let (_, _, decoder) = read_in_chunks(&client(0x81, &[b'x'; 5000]), 7);
    assert_eq!((decoder.partial.capacity(), decoder.fragments.is_none()), (0, true));
}

#[test]
fn nothing_is_read_after_a_stop() {
    let mut bytes = [client(0x88, b""), client(0x81, b"too late")].concat();
    let mut seen = 0;
    let mut decoder = Decoder::default();
    decoder
        .read(&mut bytes, LIMIT, |_| {
            seen += 1;
            Flow::Stop
        })
        .unwrap();
    assert_eq!((seen, decoder.partial.len()), (1, 0));
}

#[test]
fn server_frames_are_unmasked_and_in_their_shortest_form() {
    assert_eq!(&text_frame("hi")[..], b"\x81\x02hi");
    assert_eq!(&pong_frame(b"x")[..], b"\x8a\x01x");
    assert_eq!(&close_frame(4501, "no")[..], b"\x88\x04\x11\x95no");
    assert_eq!(&text_frame(&"x".repeat(126))[..4], b"\x81\x7e\x00\x7e");
    assert_eq!(&binary_frame(&vec![0; 65_536])[..10], b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00");
    assert_eq!(ping_frame().len(), PING_FRAME_BYTES);
}

fn frames() -> impl Strategy<Value = Vec<u8>> {
    let payload = || prop::collection::vec(any::<u8>(), 0..300);
    let frame = prop_oneof![
        "[a-zé€]{0,200}".prop_map(|text| client(0x81, text.as_bytes())),
        "[a-z]{0,50}"
            .prop_map(|text| [client(0x01, text.as_bytes()), client(0x89, b"mid"), client(0x80, b"end")].concat()),
        payload().prop_map(|bytes| client(0x82, &bytes)),
        prop::collection::vec(any::<u8>(), 0..125).prop_map(|bytes| client(0x89, &bytes)),
    ];
    prop::collection::vec(frame, 0..8).prop_map(|frames| frames.concat())
}

proptest! {
    #[test]
    fn however_the_bytes_are_cut_the_events_are_the_same(bytes in frames(), chunk in 1..50_usize) {
        let (seen, result, decoder) = read_in_chunks(&bytes, chunk);
        prop_assert_eq!((seen, result), read(&bytes));
        prop_assert_eq!(decoder.partial.capacity(), 0);
    }

    #[test]
    fn no_bytes_make_it_panic_or_keep_more_than_a_message(bytes in prop::collection::vec(any::<u8>(), 0..2000), chunk in 1..50_usize) {
        let (_, _, decoder) = read_in_chunks(&bytes, chunk);
        prop_assert!(decoder.partial.len() <= LIMIT + 14);
    }
}
