//! What a site's backend is told where the error table's own sentence would not help.

use teahouse_core::ids::ID_MAX;

use crate::http::sentence::Sentence;

pub(super) fn no_key() -> Sentence {
    Sentence::new(
        "This takes the header “Authorization: ApiKey …” with a key of this server; the command `teahouse key create` makes one.",
        "此接口需要请求头“Authorization: ApiKey …”；请用命令 `teahouse key create` 创建密钥。",
    )
}

pub(super) fn one_target() -> Sentence {
    Sentence::new(
        "“to” must be exactly one of {\"all\":true}, {\"users\":[…]} and {\"room\":…}.",
        "“to”必须且只能是 {\"all\":true}、{\"users\":[…]} 和 {\"room\":…} 之一。",
    )
}

pub(super) fn not_a_type(chars_max: usize) -> Sentence {
    Sentence::new(
        format!("A type has 1 to {chars_max} characters: letters, digits, “_”, “-”, “.” and “:”."),
        format!("类型由 1 到 {chars_max} 个字母、数字或“_”“-”“.”“:”组成。"),
    )
}

pub(super) fn own_type() -> Sentence {
    Sentence::new(
        "This type is one of the server's own; please choose another.",
        "该类型由服务器自身使用，请换一个名称。",
    )
}

pub(super) fn not_data() -> Sentence {
    Sentence::new(
        "“data” must be a JSON object, nested no deeper than a hundred levels.",
        "“data”必须是 JSON 对象，且嵌套不超过一百层。",
    )
}

pub(super) fn number_too_large() -> Sentence {
    Sentence::new(
        format!("“data” has a whole number beyond {ID_MAX}, which JavaScript would round; please send it as a string."),
        format!("“data”中有超过 {ID_MAX} 的整数，JavaScript 会将其舍入；请以字符串形式发送。"),
    )
}

pub(super) fn envelope_too_large(bytes_max: usize) -> Sentence {
    Sentence::new(
        format!("The envelope would have more than {bytes_max} bytes."),
        format!("消息超过 {bytes_max} 字节。"),
    )
}

pub(super) fn too_many(most: usize) -> Sentence {
    Sentence::new(
        format!("At most {most} users at once; please ask several times."),
        format!("一次最多 {most} 个用户，请分批请求。"),
    )
}

pub(super) fn no_such_room() -> Sentence {
    Sentence::new("There is no such room.", "该房间不存在。")
}

pub(super) fn may_not_speak() -> Sentence {
    Sentence::new(
        "This user may not write there: not a member of the room, or disabled. A notice of the site itself goes into public and private rooms only.",
        "该用户不能在此发言：不是房间成员或已被禁用。系统通知只能发送到公开或私有房间。",
    )
}

pub(super) fn no_site() -> Sentence {
    Sentence::new(
        "This server keeps its accounts itself. It takes a site's users only where the site's tokens are in use (auth.jwt_secret, auth.public_key_file or auth.jwks_file).",
        "此服务器自行管理账号。仅在启用网站令牌（auth.jwt_secret、auth.public_key_file 或 auth.jwks_file）时才接受网站的用户。",
    )
}

pub(super) fn id_or_subject() -> Sentence {
    Sentence::new("A user has either “id” or “subject”, not both.", "用户只能提供“id”或“subject”之一。")
}

pub(super) fn not_a_site_id() -> Sentence {
    Sentence::new(
        "“id” must be a whole number from 1 up and below 2^40; for anything else give “subject”, as your tokens' `sub` has it.",
        "“id”必须是大于 0 且小于 2^40 的整数；其他标识请用“subject”，与令牌中的 `sub` 相同。",
    )
}

pub(super) fn not_a_subject() -> Sentence {
    Sentence::new(
        "“subject” must have 1 to 255 characters and not begin with “teahouse:”.",
        "“subject”的长度必须为 1 到 255 个字符，且不能以“teahouse:”开头。",
    )
}

pub(super) fn reason_too_long(bytes_max: usize) -> Sentence {
    Sentence::new(format!("A reason has at most {bytes_max} bytes."), format!("原因最多 {bytes_max} 字节。"))
}
