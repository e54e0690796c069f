//! Ways to a registry: TLS with authorities of the user, plain http, mirrors, proxies.

use std::fs;
use std::process::Command;

use super::between::{Between, Fault};
use super::folder::Pull;
use super::images::{push, small_image};
use super::is_skipped;
use super::server::Registry;

#[test]
fn a_registry_with_a_certificate_of_its_own_is_believed_where_the_user_says_so() {
    if is_skipped() {
        return;
    }
    let registry = Registry::with().tls().start();
    push(&small_image(), &registry, "app:1", &[]);
    let (image, address) = (registry.image("app:1"), &registry.address);
    let said = Pull::new().fails(&image);
    assert!(said.contains("its certificate is not trusted: nobody whom we trust has signed it"), "{said}");
    assert!(said.contains(&format!("registries: {{ \"{address}\": {{ ca: /path/to/ca.crt }} }}")), "{said}");
    // In the settings.
    let ca = registry.authority().unwrap();
    Pull::new().settings(&format!("\"{address}\": {{ ca: \"{}\" }}", ca.display())).pull(&image).unwrap();
    // Where docker and podman look for it.
    let folders = tempfile::tempdir().unwrap();
    fs::create_dir(folders.path().join(address)).unwrap();
    fs::copy(ca, folders.path().join(address).join("ca.crt")).unwrap();
    let mut pull = Pull::new();
    pull.access.surroundings.certificate_folders = vec![folders.path().to_owned()];
    pull.pull(&image).unwrap();
    // What is no certificate is named.
    let said = Pull::new().settings(&format!("\"{address}\": {{ ca: /dev/null }}")).fails(&image);
    assert!(said.contains("in `/dev/null`: it holds no certificate in PEM"), "{said}");
    // As if it spoke http.
    let said = Pull::new().settings(&format!("\"{address}\": {{ plain_http: true }}")).fails(&image);
    assert!(said.contains("it speaks TLS, and was asked without\ntake `plain_http`"), "{said}");
}

#[test]
fn a_certificate_that_signs_itself_is_believed_where_it_is_the_one_of_the_settings() {
    if is_skipped() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout server.key -out server.pem \
                 -days 2 -subj /CN=registry -addext subjectAltName=IP:127.0.0.1";
    let made = Command::new("openssl").args(words.split_whitespace()).current_dir(folder.path()).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let registry = Registry::with().certificate(folder.path()).start();
    push(&small_image(), &registry, "app:1", &[]);
    let own = format!("\"{}\": {{ ca: \"{}\" }}", registry.address, folder.path().join("server.pem").display());
    Pull::new().settings(&own).pull(&registry.image("app:1")).unwrap();
    // Another one of the same kind is not.
    let other = Registry::with().tls().start();
    let said = Pull::new()
        .settings(&format!("\"{}\": {{ ca: \"{}\" }}", registry.address, other.authority().unwrap().display()))
        .fails(&registry.image("app:1"));
    assert!(said.contains("its certificate is not trusted"), "{said}");
}

#[test]
fn mirrors_are_asked_first_and_passed_over_where_they_fail() {
    if is_skipped() {
        return;
    }
    let registry = Registry::start();
    push(&small_image(), &registry, "app:1", &[]);
    let mirror = Registry::start();
    push(&small_image(), &mirror, "cache/app:1", &[]);
    let before = Between::start(&registry.address, |_, _| Fault::None);
    let (good, image) = (Between::start(&mirror.address, |_, _| Fault::None), before.image("app:1"));
    let settings = |mirrors: &str| format!("\"{}\": {{ mirrors: [{mirrors}] }}", before.address);
    // All from the mirror.
    Pull::new().settings(&settings(&format!("\"{}/cache\"", good.address))).pull(&image).unwrap();
    assert!(before.asked().is_empty() && good.asked().iter().any(|asked| asked.line.contains("/v2/cache/app/")));
    // None of these has it: nobody, no TLS, not there.
    let empty = Registry::start();
    let failing = format!("\"127.0.0.1:1\", \"https://{}\", \"{}\"", good.address, empty.address);
    let pull = Pull::new().settings(&settings(&failing));
    pull.pull(&image).unwrap();
    let told = pull.told.borrow().words.join("\n");
    assert!(told.contains("mirror `127.0.0.1:1` is passed over"), "{told}");
    assert!(told.contains("it does not speak TLS"), "{told}");
    assert!(told.contains(&format!("mirror `{}` is passed over", empty.address)), "{told}");
    assert!(!before.asked().is_empty());
    // A mirror that gives the manifest and sends other layers.
    let bad = Between::start(&mirror.address, |asked, _| match asked.is_blob() && asked.range.is_none() {
        true => Fault::Flip(3),
        false => Fault::None,
    });
    Pull::new().settings(&settings(&format!("\"{}/cache\"", bad.address))).pull(&image).unwrap();
}

#[test]
fn a_proxy_is_used_for_all_but_this_computer_and_those_that_are_named() {
    if is_skipped() {
        return;
    }
    let plain = Registry::start();
    push(&small_image(), &plain, "app:1", &[]);
    let secure = Registry::with().tls().start();
    push(&small_image(), &secure, "app:1", &[]);
    let http = Between::start(&plain.address, |_, _| Fault::None);
    let https = Between::start(&secure.address, |_, _| Fault::None);
    let with_proxies = |settings: &str| {
        let mut pull = Pull::new().settings(settings);
        pull.access.surroundings.http_proxy = Some(format!("http://ann:secret@{}", http.address));
        pull.access.surroundings.https_proxy = Some(https.address.clone());
        pull
    };
    // A name that only the proxy knows.
    with_proxies("registry.test: { plain_http: true }").pull("registry.test/app:1").unwrap();
    assert!(http.asked()[0].line.starts_with("GET http://registry.test/v2/app/manifests/1"), "{:?}", http.asked()[0]);
    let ca = secure.authority().unwrap().display();
    with_proxies(&format!("registry.test: {{ ca: \"{ca}\" }}")).pull("registry.test/app:1").unwrap();
    assert!(https.asked()[0].line.starts_with("CONNECT registry.test:443"), "{:?}", https.asked()[0]);
    let (before_http, before_https) = (http.asked().len(), https.asked().len());
    with_proxies("{}").pull(&plain.image("app:1")).unwrap();
    let mut pull = with_proxies("registry.test: { plain_http: true }");
    pull.access.surroundings.no_proxy = "other, .test".to_owned();
    let said = pull.fails("registry.test/app:1");
    assert!(said.contains("cannot be reached"), "{said}");
    assert_eq!((http.asked().len(), https.asked().len()), (before_http, before_https));
}
