//! What networks, proxies and bad registries do, between us and a real one.

use std::fs;
use std::time::{Duration, Instant};

use smolvm::image::registry::PullError;

use super::between::{Asked, Between, Fault};
use super::folder::{Pull, said};
use super::images::{push, small_image};
use super::is_skipped;
use super::server::Registry;

/// A registry with `app:1`, and a host before it.
fn with(script: impl Fn(&Asked, &[Asked]) -> Fault + Send + Sync + 'static) -> (Registry, Between) {
    let registry = Registry::start();
    push(&small_image(), &registry, "app:1", &[]);
    let between = Between::start(&registry.address, script);
    (registry, between)
}

/// The digest of the layer that has 4 MiB.
fn big() -> String {
    let manifest: serde_json::Value = serde_json::from_slice(&small_image().manifest().1).unwrap();
    manifest["layers"][1]["digest"].as_str().unwrap().to_owned()
}

/// How often the same was asked before.
fn times(asked: &Asked, before: &[Asked]) -> usize {
    before.iter().filter(|other| other.line == asked.line).count()
}

/// The same fault for the big layer, so often.
fn big_layer(fault: Fault, often: usize) -> impl Fn(&Asked, &[Asked]) -> Fault + Send + Sync + 'static {
    let big = big();
    move |asked, before| match asked.line.contains(&big) && times(asked, before) < often {
        true => fault.clone(),
        false => Fault::None,
    }
}

#[track_caller]
fn is_whole(pull: &Pull) {
    for name in pull.folder.names() {
        assert!(!name.ends_with(".part"), "{name}");
    }
    let manifest: serde_json::Value = serde_json::from_slice(&small_image().manifest().1).unwrap();
    assert_eq!(pull.folder.names().len(), manifest["layers"].as_array().unwrap().len());
}

#[test]
fn a_blob_that_broke_off_is_gone_on_with_from_where_it_was() {
    if is_skipped() {
        return;
    }
    let (_registry, between) = with(big_layer(Fault::Cut(1_000_000), 2));
    let pull = Pull::new();
    pull.pull(&between.image("app:1")).unwrap();
    is_whole(&pull);
    let ranges: Vec<_> =
        between.asked().into_iter().filter(|asked| asked.line.contains(&big())).map(|asked| asked.range).collect();
    assert_eq!(ranges, [None, Some("bytes=1000000-".to_owned()), Some("bytes=2000000-".to_owned())]);
    let told = pull.told.borrow();
    assert!(
        told.words.iter().any(|words| words.contains(&big()) && words.contains("trying again in")),
        "{:?}",
        told.words
    );
}

#[test]
fn a_blob_left_by_an_earlier_run_is_gone_on_with_and_a_damaged_one_is_fetched_anew() {
    if is_skipped() {
        return;
    }
    let (_registry, between) = with(|_, _| Fault::None);
    let digest = big().parse().unwrap();
    let whole = fs::read(super::images::blob_path(&small_image().layout, &big())).unwrap();
    let mut damaged = whole[..500_000].to_vec();
    damaged[1000] ^= 1;
    for (start, asked) in [(&whole[..500_000], 1), (&damaged, 2), (&[&whole[..], b"more"].concat(), 1)] {
        let pull = Pull::new();
        fs::write(pull.folder.part(&digest), start).unwrap();
        let before = between.asked().len();
        pull.pull(&between.image("app:1")).unwrap();
        is_whole(&pull);
        let now: Vec<_> = between.asked().split_off(before);
        let of_big: Vec<_> = now.into_iter().filter(|asked| asked.line.contains(&big())).collect();
        assert_eq!(of_big.len(), asked);
        let is_range = start.len() < whole.len();
        assert_eq!(of_big[0].range.as_deref(), is_range.then_some("bytes=500000-"));
    }
}

#[test]
fn a_registry_that_knows_no_ranges_sends_it_all_again() {
    if is_skipped() {
        return;
    }
    let big = big();
    let (_registry, between) = with(move |asked, before| {
        if !asked.line.contains(&big) {
            return Fault::None;
        }
        if times(asked, before) == 0 { Fault::Cut(1_000_000) } else { Fault::NoRange }
    });
    let pull = Pull::new();
    pull.pull(&between.image("app:1")).unwrap();
    is_whole(&pull);
}

#[test]
fn who_is_asked_to_go_slower_waits_as_long_as_asked() {
    if is_skipped() {
        return;
    }
    let (_registry, between) = with(|asked, before| match asked.is_manifest() && times(asked, before) == 0 {
        true => Fault::Answer("429 Too Many Requests\r\nRetry-After: 1".to_owned(), b"{}".to_vec()),
        false => Fault::None,
    });
    let start = Instant::now();
    let pull = Pull::new();
    pull.pull(&between.image("app:1")).unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert!(pull.told.borrow().words[0].contains("429"), "{:?}", pull.told.borrow().words);
    // Longer than anybody waits.
    let (_registry, between) = with(|_, _| {
        let body = br#"{"errors":[{"code":"TOOMANYREQUESTS","message":"your limit is reached"}]}"#;
        Fault::Answer("429 Too Many Requests\r\nRetry-After: 3600".to_owned(), body.to_vec())
    });
    let said = Pull::new().fails(&between.image("app:1"));
    assert!(said.contains("(429): your limit is reached\ntry again later, or log in"), "{said}");
    assert_eq!(between.asked().len(), 1);
}

#[test]
fn a_registry_that_fails_is_tried_again_and_then_named_and_one_that_refuses_is_not() {
    if is_skipped() {
        return;
    }
    for (status, tries) in
        [("500 Internal Server Error", 3), ("503 Service Unavailable", 3), ("404 Not Found", 1), ("403 Forbidden", 1)]
    {
        let head = status.to_owned();
        let (_registry, between) = with(big_layer(Fault::Answer(head, b"broken".to_vec()), usize::MAX));
        let error = Pull::new().pull(&between.image("app:1")).unwrap_err();
        let text = said(&error);
        for part in [&between.address, &between.image("app:1"), &big()] {
            assert!(text.contains(part), "{text}");
        }
        let asked = between.asked().into_iter().filter(|asked| asked.line.contains(&big())).count();
        assert_eq!(asked, tries, "{text}");
        assert_eq!(text.contains("tried 3 times: it answers"), tries == 3, "{text}");
    }
}

#[test]
fn a_stalled_registry_ends_with_an_error_that_names_it() {
    if is_skipped() {
        return;
    }
    let (_registry, between) = with(big_layer(Fault::Stall(300_000), usize::MAX));
    let pull = Pull::new().stall(Duration::from_millis(400));
    let start = Instant::now();
    let text = pull.fails(&between.image("app:1"));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let (address, image, digest) = (&between.address, between.image("app:1"), big());
    let expected = format!(
        "cannot fetch blob `{digest}` of `{image}` from registry `{address}`, tried 3 times: nothing came for 0.4 s\n"
    );
    assert!(text.starts_with(&expected), "{text}");
    // What came is kept for the next time.
    let part = fs::metadata(pull.folder.part(&digest.parse().unwrap())).unwrap().len();
    assert_eq!(part, 900_000);
}

#[test]
fn who_leaves_does_not_wait_for_a_stalled_registry() {
    if is_skipped() {
        return;
    }
    let (_registry, between) = with(big_layer(Fault::Stall(300_000), usize::MAX));
    let pull = Pull::new();
    pull.told.borrow_mut().leaves_at = Some(300_000);
    let error = pull.pull(&between.image("app:1")).unwrap_err();
    assert!(error.is_left(), "{error}");
    let left = pull.told.borrow().has_left.get().unwrap().elapsed();
    assert!(left < Duration::from_millis(500), "{left:?}");
    // In the pause before another try, too.
    let (_registry, between) = with(|_, _| Fault::Answer("503 Unavailable\r\nRetry-After: 5".to_owned(), Vec::new()));
    let pull = Pull::new();
    pull.told.borrow_mut().leaves_at_words = true;
    assert!(matches!(pull.pull(&between.image("app:1")), Err(PullError::Left { .. })));
    let left = pull.told.borrow().has_left.get().unwrap().elapsed();
    assert!(left < Duration::from_millis(500), "{left:?}");
}

#[test]
fn other_bytes_than_were_named_are_never_kept() {
    if is_skipped() {
        return;
    }
    let (_registry, between) = with(big_layer(Fault::Flip(77), usize::MAX));
    let pull = Pull::new();
    let text = pull.fails(&between.image("app:1"));
    assert!(text.contains(&big()) && text.contains("its content has the digest"), "{text}");
    assert!(!pull.folder.path(&big().parse().unwrap()).exists());
    // Once is an accident.
    let (_registry, between) = with(big_layer(Fault::Flip(77), 1));
    let pull = Pull::new();
    pull.pull(&between.image("app:1")).unwrap();
    is_whole(&pull);
    let (_registry, between) = with(|asked, _| if asked.is_manifest() { Fault::Flip(9) } else { Fault::None });
    let text = Pull::new().fails(&between.image("app:1"));
    assert!(text.contains("its content has the digest"), "{text}");
}

#[test]
fn what_has_no_end_is_not_read_to_its_end() {
    if is_skipped() {
        return;
    }
    for head in ["200 OK", "404 Not Found", "401 Unauthorized", "500 No"] {
        let whole = format!("{head}\r\nContent-Type: application/vnd.oci.image.manifest.v1+json");
        let (_registry, between) =
            with(move |asked, _| if asked.is_manifest() { Fault::Endless(whole.clone()) } else { Fault::None });
        let text = Pull::new().fails(&between.image("app:1"));
        assert!(head != "200 OK" || text.contains("it sends more than 4194304 bytes"), "{text}");
    }
    let (_registry, between) = with(big_layer(Fault::Endless("200 OK".to_owned()), usize::MAX));
    let pull = Pull::new();
    let text = pull.fails(&between.image("app:1"));
    assert!(text.contains("it sends more than"), "{text}");
    let part = fs::metadata(pull.folder.part(&big().parse().unwrap())).unwrap().len();
    assert_eq!(part, 0);
}

#[test]
fn a_blob_of_another_size_than_the_manifest_says_is_refused() {
    if is_skipped() {
        return;
    }
    let (_registry, between) = with(big_layer(Fault::Answer("200 OK".to_owned(), vec![0; 1000]), usize::MAX));
    let text = Pull::new().fails(&between.image("app:1"));
    assert!(text.contains("it is 1000 bytes long there, and should be"), "{text}");
}
