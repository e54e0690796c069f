//! Images of real tools from a real registry.

use std::process::Command;

use super::images::{push, small_image, two_platforms, zstd_image};
use super::is_skipped;
use super::server::Registry;

#[test]
fn images_of_the_tools_are_in_a_registry_that_asks_for_a_password_and_speaks_tls() {
    if is_skipped() {
        return;
    }
    let registry = Registry::with().login("ann", "secret").tls().start();
    push(&two_platforms(), &registry, "two:1", &[]);
    push(&small_image(), &registry, "docker:1", &["--format", "v2s2"]);
    push(&zstd_image(), &registry, "zstd:1", &["--dest-compress-format", "zstd"]);
    let (_, two) = two_platforms().manifest();
    for (name, part) in [("two:1", std::str::from_utf8(&two).unwrap()), ("docker:1", "docker"), ("zstd:1", "zstd")] {
        let mut skopeo = Command::new("skopeo");
        skopeo.args(["inspect", "--raw", "--creds", "ann:secret", "--tls-verify=false"]);
        let output = skopeo.arg(format!("docker://{}", registry.image(name))).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(part), "{name}: {text} {}", String::from_utf8_lossy(&output.stderr));
    }
}
