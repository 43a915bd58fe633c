//! What can be refused: one table of stable codes, from which HTTP answers, envelopes, metrics and
//! documents come. Codes are never renamed or reused.

/// A language that the server answers in.
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
        /// Why something was refused, as everybody outside sees it.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum ErrorCode {
            $(#[doc = $en] $name,)*
        }

        impl ErrorCode {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable word: `error_code` over HTTP, `code` in an envelope.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// The HTTP status that goes with it.
            #[must_use]
            pub fn http_status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// Whether sending the very same thing again later can help.
            #[must_use]
            pub fn retry_helps(self) -> bool {
                match self { $(Self::$name => $again,)* }
            }

            /// A sentence for a person.
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
    BadRequest = "bad_request", 400, false, "This request could not be understood.", "无法理解这个请求。";
    UnknownType = "unknown_type", 400, false, "There is no request of this type.", "没有这种类型的请求。";
    Unauthorized = "unauthorized", 401, false, "Please log in.", "请先登录。";
    Forbidden = "forbidden", 403, false, "You are not allowed to do this.", "你没有权限执行此操作。";
    NotFound = "not_found", 404, false, "There is no such thing here.", "没有找到。";
    MethodNotAllowed = "method_not_allowed", 405, false, "This address does not take this method.", "该地址不支持此请求方法。";
    TooLong = "too_long", 422, false, "This text is too long.", "内容过长。";
    Empty = "empty", 422, false, "There is nothing in it.", "内容不能为空。";
    UpgradeRequired = "upgrade_required", 426, false, "All is well: open a WebSocket here.", "一切正常：请在此建立 WebSocket 连接。";
    RateLimited = "rate_limited", 429, true, "Too fast: please wait a moment.", "操作太快，请稍候再试。";
    Muted = "muted", 403, true, "You may not write for the time being.", "你已被禁言。";
    Conflict = "conflict", 409, false, "This is taken already.", "已被占用。";
    Overloaded = "overloaded", 503, true, "The server is busy: please try again.", "服务器繁忙，请稍后重试。";
    Internal = "internal", 500, true, "Something went wrong on our side.", "服务器内部错误。";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_one_word_and_speaks_both_languages() {
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
