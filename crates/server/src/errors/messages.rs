//! Error messages that say more than the table of error codes: which field, which limit. English and 简体中文 are
//! side by side.

use std::fmt::Display;

use teahouse_core::Language;
use teahouse_core::ids::ID_MAX;

/// A message for a person, in every language that the server speaks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocalizedMessage {
    en: String,
    zh: String,
}

impl LocalizedMessage {
    fn new(en: impl Into<String>, zh: impl Into<String>) -> Self {
        Self { en: en.into(), zh: zh.into() }
    }

    /// The message in one language.
    #[must_use]
    pub fn text(&self, language: Language) -> &str {
        match language {
            Language::En => &self.en,
            Language::Zh => &self.zh,
        }
    }
}

/// Defines functions that make a [`LocalizedMessage`]. A text with `{parameter}` formats that parameter.
macro_rules! messages {
    ($( $(#[$doc:meta])* $name:ident($($parameter:ident: $type:ty),*) => $en:literal, $zh:literal; )*) => {
        $(
            $(#[$doc])*
            pub(crate) fn $name($($parameter: $type),*) -> LocalizedMessage {
                LocalizedMessage::new(format!($en), format!($zh))
            }
        )*
    };
}

// ── Bodies and parameters ──

messages! {
    invalid_json() => "The body is not valid JSON.", "请求体不是有效的 JSON。";
    not_an_object() => "The body must be a JSON object.", "请求体必须是 JSON 对象。";
    body_too_large(bytes_max: usize) =>
        "The body is too large: at most {bytes_max} bytes.",
        "请求体过大：最多 {bytes_max} 字节。";
    too_many_answers() =>
        "Too many of your requests wait for their answers: read those first.",
        "你有太多请求正在等待响应：请先读取已有的响应。";
    body_timeout() => "Timed out while reading the body.", "请求体接收超时。";
    missing_field(field: &str) => "The field “{field}” is missing.", "缺少字段“{field}”。";
    wrong_type(field: &str) => "The field “{field}” has the wrong type.", "字段“{field}”的类型不正确。";
    missing_or_wrong_type(field: &str) =>
        "The field “{field}” is missing or has the wrong type.",
        "字段“{field}”缺失或类型不正确。";
    two_idempotency_keys() =>
        "Idempotency-Key and “client_id” are the same parameter and must not differ.",
        "Idempotency-Key 与“client_id”是同一个参数，二者不能不一致。";
    conflicting_positions() =>
        "At most one of “before”, “after” and “around” may be given.",
        "“before”“after”“around”最多只能指定一个。";
    invalid_id(name: &str) =>
        "“{name}” must be an integer from 0 to {ID_MAX}.",
        "“{name}”必须是 0 到 {ID_MAX} 的整数。";
    invalid_limit(name: &str) => "“{name}” must be a positive integer.", "“{name}”必须是大于 0 的整数。";
    invalid_client_id(chars_max: usize) =>
        "“client_id” (over HTTP also Idempotency-Key) must have 1 to {chars_max} characters.",
        "“client_id”（HTTP 中亦为 Idempotency-Key）的长度必须为 1 到 {chars_max} 个字符。";
}

// ── Texts ──

messages! {
    too_long(chars_max: usize) =>
        "The text is too long: at most {chars_max} characters.",
        "内容过长：最多 {chars_max} 个字符。";
    empty_room_name() => "The room name is empty.", "房间名不能为空。";
    username_characters() =>
        "A username may contain only letters, digits, “_”, “-” and “.”.",
        "用户名只能包含文字、数字以及“_”“-”“.”。";
    weak_password() =>
        "The password must contain at least one letter and one digit.",
        "密码必须至少包含一个字母和一个数字。";
    invalid_email() => "The e-mail address is not valid.", "邮箱地址格式不正确。";
    invalid_avatar() =>
        "The avatar must be an http or https URL, or a path on this site.",
        "头像必须是 http 或 https 网址，或本站内的路径。";
}

/// A text whose length is outside of its bounds; `what` names it in both languages.
pub(crate) fn wrong_length(what: [&str; 2], min: impl Display, max: impl Display) -> LocalizedMessage {
    let [en, zh] = what;
    LocalizedMessage::new(
        format!("The {en} must have {min} to {max} characters."),
        format!("{zh}长度必须为 {min} 到 {max} 个字符。"),
    )
}

// ── Accounts ──

messages! {
    registration_closed() =>
        "Registration is closed on this server; please register on the site.",
        "此服务器未开放注册，请在网站上注册。";
    username_taken() => "This username is already taken.", "该用户名已被使用。";
    email_taken() => "This e-mail address is already registered.", "该邮箱已被注册。";
    wrong_credentials() => "Wrong username or password.", "用户名或密码错误。";
    wrong_current_password() => "The current password is wrong.", "当前密码错误。";
    account_disabled() => "This account is disabled.", "该账号已被禁用。";
    invalid_login() => "Your login is no longer valid; please log in again.", "登录已失效，请重新登录。";
    other_users_token() => "This token belongs to another user.", "该令牌属于其他用户。";
    user_not_found() => "The user does not exist.", "该用户不存在。";
}

// ── Messages ──

messages! {
    message_not_found() => "The message does not exist.", "该消息不存在。";
    not_your_message() => "You can change only your own messages.", "你只能修改或删除自己的消息。";
    room_or_reply_not_found() =>
        "The room, or the message to reply to, does not exist.",
        "该房间或要回复的消息不存在。";
    not_a_member() => "You are not a member of this room.", "你不是该房间的成员。";
    invalid_emoji() => "This is not an emoji.", "这不是一个表情符号。";
    too_many_reactions(max: u32) =>
        "This message already has {max} different reactions.",
        "该消息已有 {max} 种不同的回应。";
    conversation_not_found() => "The conversation does not exist.", "该会话不存在。";
    not_your_conversation() => "You are not part of this conversation.", "这不是你的会话。";
    message_to_oneself() => "You cannot send messages to yourself.", "不能给自己发送消息。";
    client_id_reused() =>
        "This “client_id” (over HTTP also Idempotency-Key) was already used for another message.",
        "该“client_id”（HTTP 中亦为 Idempotency-Key）已用于另一条消息。";
}

// ── Rooms and sessions ──

messages! {
    too_many_strangers() =>
        "You have invited or written to as many people as you may get to know in one day.",
        "你今天邀请或联系的陌生人已达上限。";
    room_or_user_not_found() => "The room or user does not exist.", "该房间或用户不存在。";
    room_name_taken() => "A room with this name already exists.", "该房间名已被使用。";
    too_many_rooms(max: u32) => "You can be in at most {max} rooms.", "最多只能加入 {max} 个房间。";
    direct_room_not_creatable() =>
        "A direct room cannot be created; open a conversation with the user.",
        "私聊房间不能直接创建，请打开与对方的会话。";
    hello_required() => "The session must send “hello” first.", "请先发送 hello。";
    hello_repeated() => "The session has already sent “hello”.", "每个会话只能发送一次 hello。";
}

/// The page of a WebSocket handshake comes from an origin that is not allowed.
pub(crate) fn origin_not_allowed(origin: &str) -> LocalizedMessage {
    // Anybody can set this header, so only a short, printable part of it is repeated.
    let origin: String = origin.chars().filter(char::is_ascii_graphic).take(200).collect();
    LocalizedMessage::new(
        format!("Pages from {origin} may not connect; the operator can add it to server.allowed_origins."),
        format!("来自 {origin} 的页面不允许连接；管理员可将其加入 server.allowed_origins。"),
    )
}

// ── The server API ──

messages! {
    api_key_required() =>
        "This route requires the header “Authorization: ApiKey …”; create a key with `teahouse key create`.",
        "此接口需要请求头“Authorization: ApiKey …”；请用命令 `teahouse key create` 创建密钥。";
    invalid_target() =>
        "“to” must be exactly one of {{\"all\":true}}, {{\"users\":[…]}} and {{\"room\":…}}.",
        "“to”必须且只能是 {{\"all\":true}}、{{\"users\":[…]}} 和 {{\"room\":…}} 之一。";
    invalid_event_type(chars_max: usize) =>
        "“type” must have 1 to {chars_max} characters: letters, digits, “_”, “-”, “.” and “:”.",
        "“type”由 1 到 {chars_max} 个字母、数字或“_”“-”“.”“:”组成。";
    reserved_event_type(kind: &str) =>
        "“{kind}” is the name of one of the server's own requests or events; please choose another.",
        "“{kind}”是服务器自身的请求或事件名称，请换一个名称。";
    invalid_event_data() =>
        "“data” must be a JSON object, nested no deeper than 100 levels.",
        "“data”必须是 JSON 对象，且嵌套不超过 100 层。";
    number_too_large() =>
        "“data” contains an integer beyond {ID_MAX}, which JavaScript would round; please send it as a string.",
        "“data”中有超过 {ID_MAX} 的整数，JavaScript 会将其舍入；请以字符串形式发送。";
    envelope_too_large(bytes_max: usize) =>
        "The envelope would be larger than {bytes_max} bytes.",
        "消息超过 {bytes_max} 字节。";
    too_many_users(max: usize) =>
        "At most {max} users per request; please split the request.",
        "一次最多 {max} 个用户，请分批请求。";
    room_not_found() => "The room does not exist.", "该房间不存在。";
    sender_not_allowed() =>
        "This user may not write there: not a member of the room, or disabled. A system notice can go only to public and private rooms.",
        "该用户不能在此发言：不是房间成员或已被禁用。系统通知只能发送到公开或私有房间。";
    site_users_disabled() =>
        "This server manages its own accounts. It accepts a site's users only with site tokens (auth.jwt_secret, auth.public_key_file or auth.jwks_file).",
        "此服务器自行管理账号。仅在启用网站令牌（auth.jwt_secret、auth.public_key_file 或 auth.jwks_file）时才接受网站的用户。";
    id_and_subject() => "A user has either “id” or “subject”, not both.", "用户只能提供“id”或“subject”之一。";
    invalid_site_id() =>
        "“id” must be a positive integer below 2^40; for any other name use “subject”, as in the `sub` of your tokens.",
        "“id”必须是大于 0 且小于 2^40 的整数；其他标识请用“subject”，与令牌中的 `sub` 相同。";
    invalid_subject() =>
        "“subject” must have 1 to 255 characters and must not begin with “teahouse:”.",
        "“subject”的长度必须为 1 到 255 个字符，且不能以“teahouse:”开头。";
    reason_too_long(bytes_max: usize) => "The reason has more than {bytes_max} bytes.", "原因最多 {bytes_max} 字节。";
}
