//! Images of real tools from a real registry.

use std::fs;
use std::process::Command;

use smolvm::image::Platform;
use smolvm::image::manifest::Compression;
use smolvm::image::registry::PullError;

use super::folder::Pull;
use super::images::{arm_image, blob_path, push, small_image, two_platforms, zstd_image};
use super::is_skipped;
use super::server::Registry;

#[test]
fn of_an_index_the_image_of_machines_is_taken_and_each_layer_is_that_of_the_tool() {
    if is_skipped() {
        return;
    }
    let registry = Registry::start();
    let image = two_platforms();
    push(&image, &registry, "two:1", &[]);
    let pull = Pull::new();
    let resolved = pull.pull(&registry.image("two:1")).unwrap();
    assert_eq!(resolved.indexes.len(), 1);
    assert_eq!(resolved.indexes[0].bytes, image.manifest().1);
    assert_eq!(resolved.manifest.bytes, small_image().manifest().1);
    assert_eq!(resolved.manifest.descriptor.digest.as_str(), small_image().manifest().0);
    assert!(String::from_utf8_lossy(&resolved.config.bytes).contains("\"architecture\":\"amd64\""));
    assert_eq!(resolved.content.layers.len(), 2);
    let told = pull.told.borrow();
    for layer in &resolved.content.layers {
        let digest = &layer.blob.digest;
        let made = fs::read(blob_path(&image.layout, digest.as_str())).unwrap();
        assert!(fs::read(pull.folder.path(digest)).unwrap() == made);
        assert_eq!(told.done[digest], layer.blob.size);
        assert!(told.finished.contains(digest));
    }
    let arm = Pull::new().pull_for(&registry.image("two:1"), &"linux/arm64".parse().unwrap()).unwrap();
    assert_eq!(arm.manifest.bytes, arm_image().manifest().1);
}

#[test]
fn manifests_of_docker_and_layers_of_zstd_are_taken_and_schema_1_is_refused_by_name() {
    if is_skipped() {
        return;
    }
    let registry = Registry::with().schema_1().start();
    push(&small_image(), &registry, "docker:1", &["--format", "v2s2"]);
    push(&zstd_image(), &registry, "zstd:1", &[]);
    push(&small_image(), &registry, "old:1", &["--format", "v2s1"]);
    let docker = Pull::new().pull(&registry.image("docker:1")).unwrap();
    assert!(docker.manifest.descriptor.media_type.contains("docker"), "{:?}", docker.manifest.descriptor);
    let zstd = Pull::new().pull(&registry.image("zstd:1")).unwrap();
    assert!(zstd.content.layers.iter().all(|layer| layer.compression == Compression::Zstd));
    let said = Pull::new().fails(&registry.image("old:1"));
    assert!(said.contains("schema 1") && said.contains("skopeo copy --format v2s2"), "{said}");
}

#[test]
fn an_image_that_is_not_made_for_machines_is_told_with_what_it_is_made_for() {
    if is_skipped() {
        return;
    }
    let registry = Registry::start();
    push(&arm_image(), &registry, "arm:1", &[]);
    push(&two_platforms(), &registry, "two:1", &[]);
    let said = Pull::new().fails(&registry.image("arm:1"));
    let name = registry.image("arm:1");
    assert_eq!(said, format!("`{name}` is not made for `linux/amd64`\nit is there for `linux/arm64`"));
    let s390x: Platform = "linux/s390x".parse().unwrap();
    let error = Pull::new().pull_for(&registry.image("two:1"), &s390x).unwrap_err();
    assert_eq!(error.help().unwrap(), "it is there for `linux/amd64`, `linux/arm64`");
}

#[test]
fn an_image_is_had_by_its_digest_and_by_what_the_lock_file_says() {
    if is_skipped() {
        return;
    }
    let registry = Registry::start();
    push(&two_platforms(), &registry, "two:1", &[]);
    for digest in [two_platforms().manifest().0, small_image().manifest().0] {
        let resolved = Pull::new().pull(&format!("{}@{digest}", registry.image("two"))).unwrap();
        assert_eq!(resolved.manifest.bytes, small_image().manifest().1);
    }
    let nothing = format!("sha256:{}", "0".repeat(64));
    let error = Pull::new().pull(&format!("{}@{nothing}", registry.image("two"))).unwrap_err();
    assert!(matches!(error, PullError::NotFound { .. }), "{error}");
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    if is_skipped() {
        return;
    }
    let registry = Registry::start();
    push(&small_image(), &registry, "app:3.20", &[]);
    push(&small_image(), &registry, "app:edge", &[]);
    let said = Pull::new().fails(&registry.image("app:3.2"));
    let (address, name) = (&registry.address, registry.image("app"));
    let expected =
        format!("registry `{address}` has no `{name}:3.2`\ndid you mean `{name}:3.20`? its tags are `3.20`, `edge`");
    assert_eq!(said, expected);
    let said = Pull::new().fails(&registry.image("nothing:1"));
    assert_eq!(said, format!("registry `{address}` has no `{}`\n", registry.image("nothing:1")));
}

#[test]
fn an_image_that_other_tools_put_there_is_the_one_that_they_get() {
    if is_skipped() {
        return;
    }
    let registry = Registry::with().login("ann", "secret").tls().start();
    push(&small_image(), &registry, "app:1", &["--format", "v2s2"]);
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["inspect", "--raw", "--creds", "ann:secret", "--tls-verify=false"]);
    let raw = skopeo.arg(format!("docker://{}", registry.image("app:1"))).output().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    // `ann:secret`
    let auth = format!("{{\"auths\":{{\"{}\":{{\"auth\":\"YW5uOnNlY3JldA==\"}}}}}}", registry.address);
    fs::write(&file, auth).unwrap();
    let ca = registry.authority().unwrap().display();
    let settings = format!("\"{}\": {{ ca: \"{ca}\" }}", registry.address);
    let resolved = Pull::new().settings(&settings).credentials(file).pull(&registry.image("app:1")).unwrap();
    assert_eq!(resolved.manifest.bytes, raw.stdout);
}
