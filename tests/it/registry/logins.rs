//! Registries that let in whom they know: passwords, tokens, and what is said to all others.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use super::between::{Between, Fault};
use super::folder::Pull;
use super::images::{push, small_image};
use super::is_skipped;
use super::server::Registry;
use super::tokens::{IDENTITY, LOGIN, Tokens};

/// A `config.json` with one entry.
fn file(host: &str, entry: serde_json::Value) -> (TempDir, PathBuf) {
    let folder = TempDir::with_prefix("smolvm-login-").unwrap();
    let path = folder.path().join("config.json");
    fs::write(&path, serde_json::json!({ "auths": { host: entry } }).to_string()).unwrap();
    (folder, path)
}

fn password(user: &str, password: &str) -> serde_json::Value {
    serde_json::json!({ "auth": STANDARD.encode(format!("{user}:{password}")) })
}

#[test]
fn a_password_opens_a_registry_and_a_wrong_one_is_told_with_where_it_came_from() {
    if is_skipped() {
        return;
    }
    let registry = Registry::with().login("ann", "secret").start();
    push(&small_image(), &registry, "app:1", &[]);
    let image = registry.image("app:1");
    let (_folder, right) = file(&registry.address, password("ann", "secret"));
    Pull::new().credentials(right).pull(&image).unwrap();

    let (_folder, wrong) = file(&registry.address, password("ann", "hunter2"));
    let said = Pull::new().credentials(wrong.clone()).fails(&image);
    let refusal = format!("it refuses the credentials of `{}`", wrong.display());
    assert!(said.contains(&refusal) && said.contains(&format!("docker login {}", registry.address)), "{said}");
    assert!(!said.contains("hunter2"), "{said}");

    let said = Pull::new().fails(&image);
    assert!(said.contains("it is not there, or only for users who are logged in"), "{said}");
    assert!(said.contains(&format!("log in: `docker login {}`", registry.address)), "{said}");

    let (_folder, broken) = file(&registry.address, serde_json::json!({ "auth": "no base64" }));
    let said = Pull::new().credentials(broken).fails(&image);
    assert!(said.contains("its credentials could not be read: ") && said.contains("is no base64"), "{said}");
}

#[test]
fn tokens_are_had_for_a_password_or_an_identity_token_and_asked_for_again_when_they_ran_out() {
    if is_skipped() {
        return;
    }
    let tokens = Tokens::start();
    let registry = Registry::with().tokens(tokens.realm.clone()).start();
    let creds = format!("{}:{}", LOGIN.0, LOGIN.1);
    push(&small_image(), &registry, "app:1", &["--dest-creds", &creds]);
    let image = registry.image("app:1");
    let asked = || std::mem::take(&mut *tokens.asked.lock().unwrap());

    let (_folder, right) = file(&registry.address, password(LOGIN.0, LOGIN.1));
    asked();
    tokens.old.store(1, Ordering::Relaxed);
    Pull::new().credentials(right).pull(&image).unwrap();
    let first = asked();
    assert_eq!(first.len(), 2, "one that had run out, and one for all that followed: {first:?}");
    assert!(first[0].contains("scope=repository%3Aapp%3Apull") && first[0].contains("service=a-registry"), "{first:?}");

    let (_folder, identity) = file(&registry.address, serde_json::json!({ "identitytoken": IDENTITY }));
    Pull::new().credentials(identity).pull(&image).unwrap();
    assert!(asked()[0].starts_with("POST /token"));

    let (_folder, wrong) = file(&registry.address, password("ann", "hunter2"));
    let said = Pull::new().credentials(wrong.clone()).fails(&image);
    assert!(said.contains(&format!("it refuses the credentials of `{}`", wrong.display())), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    let said = Pull::new().fails(&image);
    assert!(said.contains("only for users who are logged in"), "{said}");
}

#[test]
fn a_blob_that_lies_elsewhere_is_had_without_telling_who_asks() {
    if is_skipped() {
        return;
    }
    let registry = Registry::with().login("ann", "secret").start();
    push(&small_image(), &registry, "app:1", &[]);
    let open = Registry::start();
    push(&small_image(), &open, "app:1", &[]);
    let elsewhere = Between::start(&open.address, |_, _| Fault::None);
    let to = elsewhere.address.clone();
    let between = Between::start(&registry.address, move |asked, _| match asked.is_blob() {
        true => {
            let path = asked.line.split(' ').nth(1).unwrap();
            Fault::Answer(format!("307 Temporary Redirect\r\nLocation: http://{to}{path}"), Vec::new())
        }
        false => Fault::None,
    });
    let (_folder, right) = file(&between.address, password("ann", "secret"));
    Pull::new().credentials(right).pull(&between.image("app:1")).unwrap();
    assert!(between.asked().iter().any(|asked| asked.is_blob() && asked.authorization.is_some()));
    let there = elsewhere.asked();
    assert_eq!(there.len(), 3, "a config and two layers");
    assert!(there.iter().all(|asked| asked.authorization.is_none()));
}
