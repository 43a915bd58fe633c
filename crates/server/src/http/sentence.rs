//! What refusals say where the error table's own sentence would not help: which field, which limit. In
//! both languages, side by side.

use std::fmt::Display;

use teahouse_core::Language;

/// A sentence for a person, in every language that we speak.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sentence {
    en: String,
    zh: String,
}

impl Sentence {
    /// The sentence in one language.
    #[must_use]
    pub fn text(&self, language: Language) -> &str {
        match language {
            Language::En => &self.en,
            Language::Zh => &self.zh,
        }
    }

    pub(super) fn new(en: impl Into<String>, zh: impl Into<String>) -> Self {
        Self { en: en.into(), zh: zh.into() }
    }
}

/// What an answer says that went well.
#[must_use]
pub fn success(language: Language) -> &'static str {
    match language {
        Language::En => "OK",
        Language::Zh => "成功",
    }
}

// ── Requests that cannot be read ──

pub(super) fn broken_json() -> Sentence {
    Sentence::new("The body is not JSON.", "请求体不是有效的 JSON。")
}

pub(super) fn not_an_object() -> Sentence {
    Sentence::new("The body must be a JSON object.", "请求体必须是 JSON 对象。")
}

pub(super) fn body_too_large(bytes_max: usize) -> Sentence {
    Sentence::new(
        format!("The body is too large: at most {bytes_max} bytes are taken."),
        format!("请求体过大：最多 {bytes_max} 字节。"),
    )
}

pub(super) fn body_too_slow() -> Sentence {
    Sentence::new("The body took too long to arrive.", "请求体接收超时。")
}

pub(super) fn missing_field(field: &str) -> Sentence {
    Sentence::new(format!("The field “{field}” is missing."), format!("缺少字段“{field}”。"))
}

pub(super) fn wrong_field(field: &str) -> Sentence {
    Sentence::new(format!("The field “{field}” is of the wrong type."), format!("字段“{field}”的类型不正确。"))
}

pub(super) fn missing_or_wrong(field: &str) -> Sentence {
    Sentence::new(
        format!("The field “{field}” is missing or of the wrong type."),
        format!("字段“{field}”缺失或类型不正确。"),
    )
}

/// Two ways of saying the same, which say something else.
pub(super) fn two_keys() -> Sentence {
    Sentence::new(
        "Idempotency-Key and “client_id” are two names for the same; they must not differ.",
        "Idempotency-Key 与“client_id”含义相同，二者不能不一致。",
    )
}

pub(crate) fn one_place_only() -> Sentence {
    Sentence::new(
        "At most one of “before”, “after” and “around” may be given.",
        "“before”“after”“around”最多只能指定一个。",
    )
}

pub(super) fn not_an_id(name: &str) -> Sentence {
    Sentence::new(
        format!("“{name}” must be a whole number below 2^53."),
        format!("“{name}”必须是小于 2^53 的非负整数。"),
    )
}

pub(super) fn not_a_limit(name: &str) -> Sentence {
    Sentence::new(format!("“{name}” must be a whole number from 1 up."), format!("“{name}”必须是大于 0 的整数。"))
}

pub(super) fn not_a_client_id(chars_max: usize) -> Sentence {
    Sentence::new(
        format!("A client_id (over HTTP also Idempotency-Key) must have 1 to {chars_max} characters."),
        format!("client_id（HTTP 中亦为 Idempotency-Key）的长度必须为 1 到 {chars_max} 个字符。"),
    )
}

// ── Texts ──

pub(super) fn too_long(chars_max: usize) -> Sentence {
    Sentence::new(
        format!("This text is too long: at most {chars_max} characters."),
        format!("内容过长：最多 {chars_max} 个字符。"),
    )
}

pub(super) fn length(what: [&str; 2], least: impl Display, most: impl Display) -> Sentence {
    let [en, zh] = what;
    Sentence::new(
        format!("The {en} must have {least} to {most} characters."),
        format!("{zh}长度必须为 {least} 到 {most} 个字符。"),
    )
}

pub(super) fn username_characters() -> Sentence {
    Sentence::new(
        "A username consists of letters, digits, “_”, “-” and “.”.",
        "用户名只能包含文字、数字以及“_”“-”“.”。",
    )
}

pub(super) fn weak_password() -> Sentence {
    Sentence::new("The password needs at least one letter and one digit.", "密码必须至少包含一个字母和一个数字。")
}

pub(super) fn not_an_email() -> Sentence {
    Sentence::new("This is not an e-mail address.", "邮箱地址格式不正确。")
}

pub(super) fn not_a_picture() -> Sentence {
    Sentence::new("A picture's address must be one of the web (http or https).", "头像地址必须是 http 或 https 网址。")
}

// ── Accounts ──

pub(super) fn registration_closed() -> Sentence {
    Sentence::new(
        "Accounts are not made here; please use the site's own registration.",
        "此处未开放注册，请在网站上注册。",
    )
}

pub(super) fn username_taken() -> Sentence {
    Sentence::new("This username is taken.", "该用户名已被使用。")
}

pub(super) fn email_taken() -> Sentence {
    Sentence::new("This e-mail address is taken.", "该邮箱已被注册。")
}

pub(super) fn wrong_login() -> Sentence {
    Sentence::new("Wrong username or password.", "用户名或密码错误。")
}

pub(super) fn wrong_current_password() -> Sentence {
    Sentence::new("The current password is wrong.", "当前密码错误。")
}

pub(super) fn disabled() -> Sentence {
    Sentence::new("This account is disabled.", "该账号已被禁用。")
}

pub(super) fn token_void() -> Sentence {
    Sentence::new("Your login is no longer valid; please log in again.", "登录已失效，请重新登录。")
}

pub(super) fn no_such_user() -> Sentence {
    Sentence::new("There is no such user.", "该用户不存在。")
}

// ── Messages ──

pub(super) fn no_such_message() -> Sentence {
    Sentence::new("There is no such message.", "该消息不存在。")
}

pub(super) fn not_your_message() -> Sentence {
    Sentence::new("You can change only your own messages.", "你只能修改或删除自己的消息。")
}

pub(super) fn nowhere_to_say_it() -> Sentence {
    Sentence::new(
        "There is no such room, or no such message to answer in it.",
        "该房间不存在，或其中没有要回复的消息。",
    )
}

pub(super) fn not_a_member() -> Sentence {
    Sentence::new("You are not a member of this room.", "你不是该房间的成员。")
}

pub(super) fn not_an_emoji() -> Sentence {
    Sentence::new("This is not an emoji.", "这不是一个表情符号。")
}

pub(super) fn too_many_reactions(most: u32) -> Sentence {
    Sentence::new(
        format!("There are {most} different reactions to this message already."),
        format!("该消息已有 {most} 种不同的回应。"),
    )
}

pub(super) fn no_such_conversation() -> Sentence {
    Sentence::new("There is no such conversation.", "该会话不存在。")
}

pub(super) fn not_your_conversation() -> Sentence {
    Sentence::new("This is not your conversation.", "这不是你的会话。")
}

pub(super) fn oneself() -> Sentence {
    Sentence::new("You cannot write to yourself.", "不能给自己发送消息。")
}

pub(super) fn said_otherwise() -> Sentence {
    Sentence::new(
        "This client_id (over HTTP also Idempotency-Key) was used for another message.",
        "该 client_id（HTTP 中亦为 Idempotency-Key）已用于另一条消息。",
    )
}

// ── Rooms ──

pub(super) fn no_such_room() -> Sentence {
    Sentence::new("There is no such room or user here.", "没有这个房间或用户。")
}

pub(super) fn room_name_taken() -> Sentence {
    Sentence::new("There is a room of this name already.", "该房间名已被使用。")
}

pub(super) fn too_many_rooms(most: u32) -> Sentence {
    Sentence::new(format!("One can be in {most} rooms at most."), format!("最多只能加入 {most} 个房间。"))
}

pub(super) fn not_made_so() -> Sentence {
    Sentence::new(
        "A direct room is opened with somebody, not created.",
        "私聊应通过打开与某人的会话建立，不能直接创建。",
    )
}

// ── Sessions ──

pub(crate) fn hello_first() -> Sentence {
    Sentence::new("Please say hello first.", "请先发送 hello。")
}

pub(crate) fn hello_once() -> Sentence {
    Sentence::new("A session says hello once.", "每个会话只能发送一次 hello。")
}

pub(super) fn another_users() -> Sentence {
    Sentence::new("This token is another user's.", "该令牌属于其他用户。")
}

// ── Origins ──

pub(super) fn foreign_origin(origin: &str) -> Sentence {
    // The header is somebody else's text: short and plain, or not repeated.
    let plain: String = origin.chars().filter(char::is_ascii_graphic).take(200).collect();
    Sentence::new(
        format!("Pages from {plain} may not connect here; the operator can add it to server.allowed_origins."),
        format!("来自 {plain} 的页面不允许连接；管理员可将其加入 server.allowed_origins。"),
    )
}
