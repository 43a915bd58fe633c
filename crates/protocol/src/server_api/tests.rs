use super::*;
use crate::v1::published;

fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    let mut json = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut json).map_err(|error| error.path().to_string())
}

#[test]
fn a_published_type_is_a_short_word_and_not_the_servers_own() {
    let check = |kind: &str, expect| assert_eq!(check_published_type(kind), expect, "{kind:?}");
    for kind in ["new_article", "article:comment", "a", "Shop.Order-2", "9", &"a".repeat(64)] {
        check(kind, Ok(()));
    }
    for kind in ["", &"a".repeat(65), "a b", "a\n", "新文章", "a/b", "\"", "a,b"] {
        check(kind, Err(TypeFault::Spelling));
    }
    for kind in [EVENT_TYPES, REQUEST_TYPES, CLASSIC_TYPES].concat() {
        check(kind, Err(TypeFault::Own));
    }
    check("Message", Ok(()));
}

#[test]
fn publishable_data_is_put_on_one_line_and_otherwise_unchanged() {
    let check = |data: &str, expect: Result<&str, DataFault>| {
        let body: PublishBody = read(&format!(r#"{{"to":{{"all":true}},"type":"x","data":{data}}}"#)).unwrap();
        let line = publishable(body.data.as_deref());
        assert_eq!(line.as_deref().map(RawValue::get), expect.as_ref().copied(), "{data}");
        if let Ok(line) = line {
            let envelope = published("x", &line);
            assert_eq!(envelope, format!(r#"{{"type":"x","data":{}}}"#, line.get()));
            assert!(!envelope.contains(['\n', '\r']));
        }
    };
    check("null", Ok("{}"));
    check("{}", Ok("{}"));
    check(" {\n\t\"b\" : 1 ,\r\n \"a\" : [ true , null ] } ", Ok(r#"{"b":1,"a":[true,null]}"#));
    check(r#"{"a":"two  words\nand \"more\" \\"}"#, Ok(r#"{"a":"two  words\nand \"more\" \\"}"#));
    check(r#"{"茶":"小明 👍"}"#, Ok(r#"{"茶":"小明 👍"}"#));
    check(r#"{"n":[1.10,116.39738912345678,-0,1e3,1.5E-7]}"#, Ok(r#"{"n":[1.10,116.39738912345678,-0,1e3,1.5E-7]}"#));
    check(r#"{"n":9007199254740991}"#, Ok(r#"{"n":9007199254740991}"#));
    check(r#"{"n":-9007199254740991}"#, Ok(r#"{"n":-9007199254740991}"#));
    check(r#"{"n":"9007199254740993"}"#, Ok(r#"{"n":"9007199254740993"}"#));
    check(r#"{"n":9007199254740992}"#, Err(DataFault::NumberTooLarge));
    check(r#"{"a":[{"n":-9007199254740992}]}"#, Err(DataFault::NumberTooLarge));
    check(r#"{"n":123456789012345678901234567890}"#, Err(DataFault::NumberTooLarge));
    for unreadable in ["[]", "7", "\"x\"", "true", r#"{"a":"\ud800"}"#, r#"{"n":1e999}"#] {
        check(unreadable, Err(DataFault::NotReadable));
    }
    let deep = |levels: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
    check(&deep(100), Ok(&deep(100)));
    check(&deep(100_000), Err(DataFault::NotReadable));
}

#[test]
fn an_error_about_a_target_names_the_field() {
    type Target = (Option<bool>, Option<Vec<u64>>, Option<u64>);
    let check = |to: &str, expect: Result<Target, &str>| {
        let body = read::<PublishBody>(&format!(r#"{{"to":{to},"type":"x"}}"#));
        let target = body.map(|PublishBody { to, .. }| (to.all, to.users, to.room));
        assert_eq!(target, expect.map_err(str::to_owned), "{to}");
    };
    check(r#"{"all":true}"#, Ok((Some(true), None, None)));
    check(r#"{"users":[1,9007199254740991],"more":0}"#, Ok((None, Some(vec![1, 9_007_199_254_740_991]), None)));
    check(r#"{"room":1,"users":null}"#, Ok((None, None, Some(1))));
    check("{}", Ok((None, None, None)));
    check(r#"{"all":1}"#, Err("to.all"));
    check(r#"{"room":"1"}"#, Err("to.room"));
    check(r#"{"room":9007199254740992}"#, Err("to.room"));
    check(r#"{"users":7}"#, Err("to.users"));
    check(r#"{"users":[7,-7]}"#, Err("to.users[1]"));
    check(r#"{"users":[7.0]}"#, Ok((None, Some(vec![7]), None)));
    check(r#"{"room":7.0}"#, Ok((None, None, Some(7))));
    check(r#"{"room":7.5}"#, Err("to.room"));
    check("7", Err("to"));
    check("[true]", Err("to"));
}

#[test]
fn a_body_of_users_is_one_user_or_a_list() {
    let names = |text: &str| {
        read::<UserBodies>(text).map(|users| {
            let users = match users {
                UserBodies::One(user) => vec![*user],
                UserBodies::Many(users) => users,
            };
            users.into_iter().map(|user| (user.id.map(SiteId::into_text), user.username)).collect::<Vec<_>>()
        })
    };
    let amy = |id: Option<&str>| (id.map(str::to_owned), "amy".to_owned());
    assert_eq!(names(r#"{"id":7,"username":"amy"}"#), Ok(vec![amy(Some("7"))]));
    assert_eq!(names(r#"[{"id":"7","username":"amy"},{"username":"amy","x":1}]"#), Ok(vec![amy(Some("7")), amy(None)]));
    assert_eq!(names("[]"), Ok(vec![]));
    assert_eq!(names(r#"[{"username":"amy"},{"username":7}]"#), Err("[1].username".to_owned()));
    assert_eq!(names(r#"{"username":"amy","nickname":[]}"#), Err("nickname".to_owned()));
    assert_eq!(names(r#"{"username":"amy","id":-1}"#), Err("id".to_owned()));
    assert_eq!(names(r#"{"username":"amy","id":7.0}"#), Ok(vec![amy(Some("7"))]));
    assert_eq!(names(r#"{"username":"amy","id":7.5}"#), Err("id".to_owned()));
    assert_eq!(names(r#"{"username":"amy","id":null}"#), Ok(vec![amy(None)]));
    assert_eq!(names(r#"[[7,null,"amy"]]"#), Err("[0]".to_owned()));
    assert!(names("7").is_err());
}

#[test]
fn a_posted_message_has_its_id_under_both_names() {
    let posted = |duplicate| PostedBody::new(MessageId(81), (Seq(40), Version(57)), Timestamp(0), duplicate);
    let text = |duplicate| serde_json::to_string(&posted(duplicate)).unwrap();
    let expect = r#"{"message_id":81,"id":81,"seq":40,"version":57,"send_time":"1970-01-01T00:00:00.000Z"}"#;
    assert_eq!(text(false), expect);
    assert_eq!(text(true), expect.replace('}', r#","duplicate":true}"#));
}
