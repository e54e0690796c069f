//! References of all kinds, their mistakes, and any text at all.

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Reference {
    Reference::parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

/// What is wrong of a text, and what is offered.
fn mistake(text: &str) -> (&str, String, Option<String>) {
    let error = Reference::parse(text).expect_err(text);
    (&text[error.place], error.message, error.instead)
}

fn digits(count: usize) -> String {
    "0123456789abcdef".chars().cycle().take(count).collect()
}

#[test]
fn short_forms_are_written_out() {
    for (short, whole) in [
        ("alpine", "docker.io/library/alpine:latest"),
        ("alpine:3.20", "docker.io/library/alpine:3.20"),
        ("user/app", "docker.io/user/app:latest"),
        ("docker.io/alpine", "docker.io/library/alpine:latest"),
        ("index.docker.io/alpine", "docker.io/library/alpine:latest"),
        ("docker.io/library/alpine:3.20", "docker.io/library/alpine:3.20"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app:1", "localhost:5000/app:1"),
        ("host:5000/a/b/c", "host:5000/a/b/c:latest"),
        ("[::1]:5000/app", "[::1]:5000/app:latest"),
        ("Registry.internal/app", "Registry.internal/app:latest"),
        ("a__b/c-d.e_f---g:V1.0-rc_1", "docker.io/a__b/c-d.e_f---g:V1.0-rc_1"),
        ("scratch", "docker.io/library/scratch:latest"),
    ] {
        assert_eq!(parse(short).to_string(), whole, "{short}");
        assert_eq!(parse(short).written(), short);
    }
}

#[test]
fn a_digest_needs_no_tag_and_may_have_one() {
    let digest = format!("sha256:{}", digits(64));
    let bare = parse(&format!("host:5000/name@{digest}"));
    assert_eq!((bare.registry(), bare.repository(), bare.tag()), ("host:5000", "name", None));
    assert_eq!((bare.digest(), bare.name()), (Some(digest.as_str()), "host:5000/name".to_owned()));
    let both = parse(&format!("alpine:3.20@{digest}"));
    assert_eq!((both.tag(), both.name().as_str()), (Some("3.20"), "docker.io/library/alpine:3.20"));
    assert_eq!(both.to_string(), format!("docker.io/library/alpine:3.20@{digest}"));
}

#[test]
fn a_mistake_is_found_where_it_is_and_what_was_meant_is_offered() {
    for (text, place, instead) in [
        ("Alpine:3.20", "A", Some("alpine:3.20")),
        ("MyOrg/app", "M", Some("myorg/app")),
        ("host:5000/My/App", "M", Some("host:5000/my/app")),
        ("docker://alpine:3.20", "docker://", Some("alpine:3.20")),
        ("https://ghcr.test/a/b/", "https://", Some("ghcr.test/a/b")),
        ("https://hub.docker.com/_/alpine", "https://", Some("alpine")),
        ("https://hub.docker.com/r/user/app", "https://", Some("user/app")),
        ("user//app", "//", Some("user/app")),
        ("user/app/", "/", Some("user/app")),
        ("alpine:", ":", Some("alpine")),
        ("alpine: 3.20", " ", Some("alpine:3.20")),
        ("alpine:3.20:1", ":", None),
        ("alpine:.3", ".", None),
        ("alpine:3+4", "+", None),
        ("al$pine", "$", None),
        ("-alpine", "-", None),
        ("alpine_", "_", None),
        ("al..pine", "..", None),
        ("al___pine", "___", None),
        ("host:port/name", "port", None),
        ("host:99999/name", "99999", None),
        ("under_score.test/name", "under_score.test", None),
        ("alpine@3.20", "3.20", Some("alpine:3.20")),
        ("alpine@sha256:12", "12", None),
        ("alpine@md5:12", "md5", None),
        ("alpine@sha256:xyz", "x", None),
        ("a@b@c", "@", None),
        ("alpine@", "@", Some("alpine")),
        ("größe", "ö", None),
    ] {
        let found = mistake(text);
        assert_eq!((found.0, found.2.as_deref()), (place, instead), "{text}: {}", found.1);
    }
}

#[test]
fn only_what_cannot_mean_anything_else_is_certain() {
    let is_certain = |text: &str| Reference::parse(text).expect_err(text).is_certain;
    assert!(is_certain("Alpine:3.20") && is_certain("docker://alpine"));
    assert!(!is_certain("https://registry.test/a") && !is_certain("alpine@3.20") && !is_certain("a//b"));
}

#[test]
fn a_digest_is_mended_where_it_can_be() {
    let digits = digits(64);
    let bare = format!("alpine@{digits}");
    assert_eq!(mistake(&bare).2, Some(format!("alpine@sha256:{digits}")));
    let upper = format!("alpine@sha256:{}", digits.to_uppercase());
    assert_eq!(mistake(&upper), ("A", mistake(&upper).1, Some(format!("alpine@sha256:{digits}"))));
    assert!(is_digest(&format!("sha256:{digits}")) && is_digest(&format!("sha512:{digits}{digits}")));
    for text in [digits.as_str(), "sha256:", "sha256:ab", "", "sha256", &format!("sha256:{digits}@")] {
        assert!(!is_digest(text), "{text}");
    }
}

#[test]
fn lengths_have_limits() {
    assert!(Reference::parse(&format!("a:{}", "t".repeat(128))).is_ok());
    assert_eq!(mistake(&format!("a:{}", "t".repeat(129))).0.len(), 129);
    let name = |length: usize| format!("docker.io/{}", "n".repeat(length - "docker.io/".len()));
    // `library/` belongs to the name.
    assert!(Reference::parse(&name(255 - "library/".len())).is_ok());
    assert!(mistake(&name(256 - "library/".len())).1.contains("255"));
    assert!(mistake(&digits(64)).1.contains("id"));
}

fn reference() -> impl Strategy<Value = (String, String)> {
    let registry = prop_oneof![
        Just((String::new(), "docker.io".to_owned())),
        "[a-z]{1,8}\\.test(:[1-9][0-9]{0,3})?".prop_map(|host| (format!("{host}/"), host)),
    ];
    let repository = "[a-z0-9]{1,6}((__|[._]|-{1,3})[a-z0-9]{1,6}){0,2}(/[a-z0-9]{1,6}){1,2}";
    let tag = "(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,20})?";
    let digest = "(@sha256:[0-9a-f]{64})?";
    (registry, repository, tag, digest).prop_filter_map(
        "what stands before the first slash is a registry",
        |((written, registry), repository, tag, digest)| {
            let first = repository.split('/').next().unwrap_or_default();
            if written.is_empty() && (first.contains('.') || first == "localhost") {
                return None;
            }
            let default = if tag.is_empty() && digest.is_empty() { ":latest" } else { "" };
            let whole = format!("{registry}/{repository}{tag}{default}{digest}");
            Some((format!("{written}{repository}{tag}{digest}"), whole))
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_in_full_is_read_as_the_same((written, whole) in reference()) {
        let short = parse(&written);
        prop_assert_eq!(short.to_string(), whole.clone());
        prop_assert_eq!(parse(&whole).to_string(), whole);
    }

    #[test]
    fn no_text_is_too_odd(text in "[a-zA-Z0-9@:/._ \\[\\]ö-]{0,80}|.{0,40}") {
        match Reference::parse(&text) {
            Ok(reference) => {
                prop_assert_eq!(parse(&reference.to_string()).to_string(), reference.to_string());
            }
            Err(error) => {
                prop_assert!(text.get(error.place).is_some(), "a place inside the text");
                if let Some(instead) = error.instead {
                    prop_assert!(Reference::parse(&instead).is_ok(), "{} is offered", instead);
                }
            }
        }
    }
}
