use std::time::Duration;

use super::*;

fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn with_file(text: &str, environment: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.toml");
    std::fs::write(&path, text).unwrap();
    load(Sources { flags: Vec::new(), environment: variables(environment), file: Some(path) })
}

#[test]
fn every_default_is_valid() {
    let loaded = load(Sources::default()).unwrap();
    assert_eq!(loaded.config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(loaded.config.sessions.ping_interval, teahouse_core::limits::PING_INTERVAL);
    assert!(loaded.config.auth.registration_open());
    assert_eq!(loaded.to_string().lines().count(), KEYS.len());
    assert!(loaded.to_string().lines().all(|line| line.ends_with("# default")));
}

#[test]
fn flags_override_the_environment_the_file_and_the_defaults() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.toml");
    std::fs::write(&path, "[server]\nlisten = \"127.0.0.1:1\"\ndata = \"/file\"\nshards = 3\n").unwrap();
    let loaded = load(Sources {
        flags: vec![FlagValue { flag: "--listen", key: "server.listen", value: "127.0.0.1:3".to_owned() }],
        environment: variables(&[
            ("TEAHOUSE_SERVER__LISTEN", "127.0.0.1:2"),
            ("TEAHOUSE_SERVER__DATA", "/environment"),
        ]),
        file: Some(path.clone()),
    })
    .unwrap();
    let shown = loaded.to_string();
    for expect in [
        "server.listen = \"127.0.0.1:3\"  # flag --listen\n".to_owned(),
        "server.data = \"/environment\"  # environment TEAHOUSE_SERVER__DATA\n".to_owned(),
        format!("server.shards = 3  # {}:4\n", path.display()),
        "server.drain_timeout = \"10s\"  # default\n".to_owned(),
    ] {
        assert!(shown.contains(&expect), "{expect} in {shown}");
    }
}

#[test]
fn the_file_is_read_key_by_key() {
    let text = "[server]\nallowed_origins = [\"https://a.example\", \"https://b.example:8443/\"]\ndrain_timeout = \"0s\"\n\
                [limits]\nsends_per_second = 0x10\nsends_burst = 0\n[auth]\nregistration = false\ntoken_ttl = '1h'\n";
    let config = with_file(text, &[("HOME", "/root"), ("TEAHOUSE_PORT_80_TCP", "tcp://10.0.0.1:80")]).unwrap().config;
    let origins: Vec<_> = config.server.allowed_origins.iter().map(WebOrigin::as_str).collect();
    assert_eq!(origins, ["https://a.example", "https://b.example:8443"]);
    assert_eq!(config.server.drain_timeout, Duration::ZERO);
    assert_eq!((config.limits.sends_per_second, config.limits.sends_burst), (16, 0));
    assert!(!config.auth.registration_open());
    assert_eq!(config.auth.token_ttl, Duration::from_secs(3600));
}

#[test]
fn each_error_names_its_key_and_its_source() {
    let check = |text: &str, environment: &[(&str, &str)], expect: &[&str]| {
        let errors = with_file(text, environment).unwrap_err();
        let shown: Vec<_> = errors.0.iter().map(ToString::to_string).collect();
        assert_eq!(shown.len(), expect.len(), "{shown:?}");
        for (line, expect) in shown.iter().zip(expect) {
            for part in expect.split(" | ") {
                assert!(line.contains(part), "{part:?} in {line:?}");
            }
        }
    };
    check("\n[server]\nlissen = 1\n", &[], &["server.lissen | t.toml:3 | no such key | listen, public_url"]);
    check("[servr]\nlisten = 1\n", &[], &["servr | t.toml:1 | no such section | [server], [auth]"]);
    check("listen = \"127.0.0.1:1\"\n", &[], &["listen | t.toml:1 | no such section"]);
    check("[server]\nlisten = 8080\n", &[], &["server.listen | t.toml:2 | \"8080\" is not an address with a port"]);
    check("[server]\nlisten = {a = 1}\n", &[], &["server.listen | t.toml:2 | must be a text"]);
    check("[server]\nshards = 0\n", &[], &["server.shards | t.toml:2 | 0 is not between 1 and 1024"]);
    check("[server]\n\nlisten = [\n", &[], &["t.toml:"]);
    check("[server]\nshards = 1\nshards = 2\n", &[], &["t.toml:3 | duplicate"]);
    check(
        "",
        &[("TEAHOUSE_SESSIONS__PER_USER", "many")],
        &["sessions.per_user | environment TEAHOUSE_SESSIONS__PER_USER | \"many\" is not a whole number"],
    );
    check(
        "",
        &[("TEAHOUSE_SERVER_LISTEN", "x")],
        &["environment TEAHOUSE_SERVER_LISTEN | no key of this name; did you mean TEAHOUSE_SERVER__LISTEN?"],
    );
    check("", &[("TEAHOUSE_SERVER__NAME", "x")], &["environment TEAHOUSE_SERVER__NAME | no key of this name"]);
    check("[sessions]\npong_timeout = \"30s\"\n", &[], &["sessions.pong_timeout | longer"]);
    check(
        "[auth]\njwt_secret = \"x\"\njwks_file = \"y\"\n",
        &[],
        &["auth: only one of jwt_secret, public_key_file and jwks_file"],
    );
    let all_at_once = "[server]\nshards = 0\nlisten = \"x\"\n[log]\nformat = \"xml\"\n[nope]\n";
    check(all_at_once, &[], &["nope", "server.listen", "server.shards", "log.format"]);
}

#[test]
fn a_file_that_cannot_be_read_is_one_error() {
    let errors = load(Sources { file: Some("/nowhere/t.toml".into()), ..Sources::default() }).unwrap_err();
    assert!(errors.to_string().contains("the configuration file /nowhere/t.toml cannot be read"), "{errors}");
    let errors =
        load(Sources { environment: variables(&[("TEAHOUSE_CONFIG", "/nowhere/e.toml")]), ..Sources::default() });
    assert!(errors.unwrap_err().to_string().contains("/nowhere/e.toml"));
}

#[test]
fn no_output_contains_a_secret() {
    let loaded = with_file("[auth]\njwt_secret = \"hunter2\"\n", &[]).unwrap();
    let shown = format!("{loaded}{loaded:?}{:?}", loaded.config);
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(loaded.to_string().contains("auth.jwt_secret = (set)  # "));
    assert!(loaded.config.auth.site_tokens() && !loaded.config.auth.registration_open());
    // An invalid line that contains a secret is not quoted either.
    for broken in
        ["[auth]\njwt_secret = \"hunter2\n", "[auth]\njwt_secret = hunter2\n", "[auth]\njwt_secrett = \"hunter2\"\n"]
    {
        let errors = with_file(broken, &[]).unwrap_err().to_string();
        assert!(!errors.contains("hunter2") && errors.contains("t.toml:2"), "{errors}");
    }
}

#[test]
fn the_key_list_documents_every_key() {
    let text = key_list();
    for key in KEYS {
        assert!(text.contains(&key.variable()) && !key.doc.trim().is_empty(), "{key}");
    }
}

#[test]
fn loopback_proxies_are_trusted_only_where_nobody_else_can_connect() {
    let check = |listen: &str, proxies: Option<&str>, expect: &str| {
        let mut environment = vec![("TEAHOUSE_SERVER__LISTEN".into(), listen.into())];
        environment.extend(proxies.map(|proxies| ("TEAHOUSE_SERVER__TRUSTED_PROXIES".into(), proxies.into())));
        let config = load(Sources { environment, ..Sources::default() }).unwrap().config;
        let trusted: Vec<_> = config.server.trusted_proxies().iter().map(ToString::to_string).collect();
        assert_eq!(trusted.join(","), expect, "{listen} {proxies:?}");
    };
    check("127.0.0.1:8080", None, "127.0.0.0/8,::1/128");
    check("[::1]:8080", None, "127.0.0.0/8,::1/128");
    check("0.0.0.0:8080", None, "");
    check("[::]:8080", None, "");
    check("127.0.0.1:8080", Some(""), "");
    check("0.0.0.0:8080", Some("loopback"), "");
    check("0.0.0.0:8080", Some("10.0.0.1"), "10.0.0.1/32");
    check("127.0.0.1:8080", Some("10.0.0.0/8"), "10.0.0.0/8");
}
