//! Files as docker and podman write them, and helpers as scripts.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// A folder with a `config.json`.
fn with(text: &str) -> (tempfile::TempDir, Surroundings) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    fs::write(&path, text).unwrap();
    let surroundings = Surroundings { credential_files: vec![path], ..Surroundings::default() };
    (folder, surroundings)
}

fn ask(surroundings: &Surroundings, registry: &str) -> Result<Option<Login>, LoginError> {
    find(surroundings, registry, "team/app", &AtomicBool::new(false))
}

fn secret(text: &str, registry: &str) -> Option<Secret> {
    let (_folder, surroundings) = with(text);
    ask(&surroundings, registry).unwrap().map(|login| login.secret)
}

fn password(user: &str, password: &str) -> Option<Secret> {
    Some(Secret::Password(user.to_owned(), password.to_owned()))
}

#[test]
fn a_login_of_docker_is_found_under_each_name_that_docker_gives_it() {
    // `ann:se:cret`
    for key in ["host:5000", "https://host:5000", "http://host:5000/", "https://host:5000/v1/"] {
        let text = format!(r#"{{"auths":{{"{key}":{{"auth":"YW5uOnNlOmNyZXQ="}}}}}}"#);
        assert!(secret(&text, "host:5000") == password("ann", "se:cret"), "{key}");
        assert!(secret(&text, "host:5001").is_none(), "{key}");
    }
    let hub = r#"{"auths":{"https://index.docker.io/v1/":{"auth":"YW5uOmI="}},"psFormat":"x"}"#;
    assert!(secret(hub, "docker.io") == password("ann", "b"));
}

#[test]
fn podman_may_have_a_login_for_a_part_of_a_registry() {
    let text = r#"{"auths":{"host":{"auth":"YW5uOmI="},"host/team":{"auth":"YW5uOmM="},"host/te":{"auth":"x"}}}"#;
    assert!(secret(text, "host") == password("ann", "c"));
}

#[test]
fn identity_tokens_and_plain_entries_are_read() {
    let text = r#"{"auths":{"a":{"auth":"YW5uOg==","identitytoken":"t"},"b":{"username":"u","password":"p"},"c":{}}}"#;
    assert!(secret(text, "a") == Some(Secret::Identity("t".to_owned())));
    assert!(secret(text, "b") == password("u", "p"));
    assert!(secret(text, "c").is_none());
}

#[test]
fn what_cannot_be_read_is_told_without_what_it_says() {
    for (text, said) in [
        (r#"{"auths":{"host":{"auth":12345678}}}"#, "line 1, column 33"),
        (r#"{"auths":{"host":{"auth":"c2VjcmV0"}}}"#, "`auth` of `host` has no `:`"),
        (r#"{"auths":{"host":{"auth":"se cret"}}}"#, "is no base64"),
    ] {
        let (_folder, surroundings) = with(text);
        let error = ask(&surroundings, "host").unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
        assert!(!error.contains("12345678") && !error.contains("se cret") && !error.contains("c2Vj"), "{error}");
    }
    let (_folder, surroundings) = with("");
    assert!(ask(&surroundings, "host").unwrap().is_none());
}

#[test]
fn a_secret_is_not_printed() {
    let (_folder, surroundings) = with(r#"{"auths":{"host":{"auth":"YW5uOmhpZGRlbg=="}}}"#);
    let login = ask(&surroundings, "host").unwrap().unwrap();
    let told = format!("{login:?}");
    assert!(told.contains("config.json") && !told.contains("hidden") && !told.contains("ann"), "{told}");
}

/// Helpers by these names and scripts; their folder is the `PATH` of helpers, with that of tools.
fn with_helpers(file: &str, helpers: &[(&str, &str)]) -> (tempfile::TempDir, Surroundings) {
    let (folder, mut surroundings) = with(file);
    for (name, script) in helpers {
        let path = folder.path().join(format!("docker-credential-{name}"));
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    surroundings.helper_variables = vec![("PATH".into(), path.into())];
    (folder, surroundings)
}

#[test]
fn a_helper_is_asked_for_the_registry_and_an_identity_token_is_known_by_its_user() {
    let script = r#"test "$1" = get || exit 9; read -r host; echo "{\"ServerURL\":\"x\",\"Username\":\"$host\",\"Secret\":\"s\"}""#;
    let token = r#"cat >/dev/null; echo '{"Username":"<token>","Secret":"t"}'"#;
    let file = r#"{"credsStore":"all","credHelpers":{"special:5000":"one"}}"#;
    let (_folder, surroundings) = with_helpers(file, &[("all", script), ("one", token)]);
    let found = |registry| ask(&surroundings, registry).unwrap().unwrap();
    assert!(Some(found("host").secret) == password("host", "s"));
    assert!(Some(found("docker.io").secret) == password(DOCKER_KEY, "s"));
    assert!(found("special:5000").secret == Secret::Identity("t".to_owned()));
    assert_eq!(found("host").source, "`docker-credential-all`");
}

#[test]
fn a_helper_that_knows_nothing_leaves_it_to_the_file_and_one_that_fails_is_named() {
    let none = "cat >/dev/null; echo credentials not found in native keychain; exit 1";
    let bad = "cat >/dev/null; echo the key ring is locked; exit 1";
    let file = r#"{"credHelpers":{"a":"none","b":"bad","c":"missing"},"auths":{"a":{"auth":"YW5uOmI="}}}"#;
    let (_folder, surroundings) = with_helpers(file, &[("none", none), ("bad", bad)]);
    assert!(ask(&surroundings, "a").unwrap().map(|login| login.secret) == password("ann", "b"));
    let error = ask(&surroundings, "b").unwrap_err().to_string();
    assert!(
        error.ends_with("names `docker-credential-bad` for credentials: it failed: the key ring is locked"),
        "{error}"
    );
    let error = ask(&surroundings, "c").unwrap_err().to_string();
    assert!(error.contains("`docker-credential-missing` for credentials: it cannot be run"), "{error}");
}

#[test]
fn a_helper_that_nobody_waits_for_is_ended() {
    let (_folder, surroundings) = with_helpers(r#"{"credsStore":"slow"}"#, &[("slow", "exec sleep 1000")]);
    let error = find(&surroundings, "host", "app", &AtomicBool::new(true)).unwrap_err();
    assert!(matches!(error, LoginError::Helper { source: HelperError::Slow, .. }), "{error}");
}
