//! Why the server refuses something: one table of stable codes for HTTP, envelopes, metrics and documents. Codes are
//! never renamed or reused.

/// A language of error messages.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Language {
    /// English.
    #[default]
    En,
    /// 简体中文.
    Zh,
}

macro_rules! error_codes {
    ($( $name:ident = $word:literal, $status:literal, $again:literal, $en:literal, $zh:literal; )*) => {
        /// Why something was refused, as clients see it.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum ErrorCode {
            $(#[doc = $en] $name,)*
        }

        impl ErrorCode {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable name: `error_code` over HTTP, `code` in an envelope.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// The HTTP status.
            #[must_use]
            pub fn http_status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// Whether sending the same request again later can help.
            #[must_use]
            pub fn retry_helps(self) -> bool {
                match self { $(Self::$name => $again,)* }
            }

            /// The message for people.
            #[must_use]
            pub fn sentence(self, language: Language) -> &'static str {
                match (self, language) {
                    $((Self::$name, Language::En) => $en, (Self::$name, Language::Zh) => $zh,)*
                }
            }
        }
    };
}

error_codes! {
    BadRequest = "bad_request", 400, false, "The request is malformed.", "请求格式错误。";
    UnknownType = "unknown_type", 400, false, "Unknown request type.", "未知的请求类型。";
    Unauthorized = "unauthorized", 401, false, "Please log in.", "请先登录。";
    Forbidden = "forbidden", 403, false, "You are not allowed to do this.", "你没有权限执行此操作。";
    NotFound = "not_found", 404, false, "Not found.", "未找到。";
    MethodNotAllowed = "method_not_allowed", 405, false, "Method not allowed.", "不支持此请求方法。";
    TooLong = "too_long", 422, false, "This text is too long.", "内容过长。";
    Empty = "empty", 422, false, "The message is empty.", "内容不能为空。";
    UpgradeRequired = "upgrade_required", 426, false, "Upgrade to WebSocket required.", "需要升级为 WebSocket 连接。";
    RateLimited = "rate_limited", 429, true, "Too fast: please wait a moment.", "操作太快，请稍候再试。";
    Muted = "muted", 403, true, "You are muted.", "你已被禁言。";
    Conflict = "conflict", 409, false, "This is already taken.", "已被占用。";
    Overloaded = "overloaded", 503, true, "The server is busy: please try again.", "服务器繁忙，请稍后重试。";
    Internal = "internal", 500, true, "Internal server error.", "服务器内部错误。";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_have_a_message_in_both_languages() {
        let mut words: Vec<_> = ErrorCode::ALL.iter().map(|c| c.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), ErrorCode::ALL.len());
        for code in ErrorCode::ALL {
            assert!((400..600).contains(&code.http_status()));
            assert_ne!(code.sentence(Language::En), code.sentence(Language::Zh));
        }
    }
}
