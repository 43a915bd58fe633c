//! The language of an answer, from `Accept-Language`.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT_LANGUAGE;
use teahouse_core::Language;

/// The supported language that the client prefers; English when it asks for none.
#[must_use]
pub(super) fn preferred_language(headers: &HeaderMap) -> Language {
    let mut best = (0, Language::En);
    for range in
        headers.get_all(ACCEPT_LANGUAGE).iter().filter_map(|line| line.to_str().ok()).flat_map(|l| l.split(','))
    {
        let (tag, parameters) = range.split_once(';').unwrap_or((range, ""));
        let Some(language) = supported(tag.trim()) else { continue };
        let quality = quality(parameters);
        // Among equals the first wins, since browsers list the preferred one first.
        if quality > best.0 {
            best = (quality, language);
        }
    }
    best.1
}

fn supported(tag: &str) -> Option<Language> {
    let primary = tag.split('-').next().unwrap_or_default();
    match primary {
        "*" => Some(Language::En),
        _ if primary.eq_ignore_ascii_case("zh") => Some(Language::Zh),
        _ if primary.eq_ignore_ascii_case("en") => Some(Language::En),
        _ => None,
    }
}

/// The quality value in thousandths: 1000 when there is none, 0 when it is invalid.
fn quality(parameters: &str) -> u32 {
    let Some(value) = parameters.split(';').find_map(|part| part.trim().strip_prefix("q=")) else { return 1000 };
    match value.trim().parse::<f32>() {
        // The range makes the cast exact.
        Ok(value) if (0.0..=1.0).contains(&value) => (value * 1000.0) as u32,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_supported_language_wins() {
        let check = |header: &'static str, expect| {
            let headers = HeaderMap::from_iter([(ACCEPT_LANGUAGE, header.parse().unwrap())]);
            assert_eq!(preferred_language(&headers), expect, "{header}");
        };
        check("zh-CN,zh;q=0.9,en;q=0.8", Language::Zh);
        check("zh", Language::Zh);
        check("ZH-hans-cn", Language::Zh);
        check("en-GB,zh;q=0.9", Language::En);
        check("en;q=0.5, zh;q=0.8", Language::Zh);
        check("zh;q=0, en;q=0.1", Language::En);
        check("zh;q=0", Language::En);
        check("fr, zh;q=0.2", Language::Zh);
        check("fr", Language::En);
        check("*", Language::En);
        check("zh;q=nonsense", Language::En);
        check("zh;q=7", Language::En);
        check("", Language::En);
        check("zhx", Language::En);
        assert_eq!(preferred_language(&HeaderMap::new()), Language::En);
    }
}
