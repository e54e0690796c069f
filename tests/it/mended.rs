//! Volumes that are damaged, in real machines: checked and mended before anything uses them, or told what to do.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{all_below, machines};
use crate::world::{World, as_everyone};

const FILE: &str = r#"name: acme
volumes: { data: { size: 64MiB } }
machines:
  box: { cpus: 1, memory: 256MiB, workspace: false, mounts: ["data:/data"] }
steps:
  - { id: write, run: "mkdir -p /data/deep; echo kept > /data/deep/file" }
  - { id: read, needs: [], run: cat /data/deep/file; df --output=avail /data | tail -1 }
"#;

fn image(world: &World) -> PathBuf {
    let found = all_below(&world.place("state")).into_iter().find(|(path, _)| path.ends_with("volumes/data.img"));
    found.expect("the volume was made").0
}

fn change(image: &Path, requests: &[&str]) {
    for request in requests {
        let done = Command::new("debugfs").args(["-w", "-R", request]).arg(image).output().unwrap();
        assert!(done.status.success(), "{request}: {done:?}");
    }
}

/// What `e2fsck` finds in it.
fn found(image: &Path) -> (Option<i32>, String) {
    let checked = Command::new("e2fsck").args(["-f", "-n"]).arg(image).output().unwrap();
    (checked.status.code(), String::from_utf8_lossy(&checked.stdout).into_owned())
}

#[test]
fn a_volume_that_had_an_error_is_mended_before_it_is_used_or_not_used() {
    let Some(_turn) = machines() else { return };
    as_everyone(|who| {
        let world = World::new(who);
        world.write("project/smolvm.yaml", FILE);
        world.up(&["write"]).finish().passed();
        let image = image(&world);
        change(&image, &["set_inode_field /deep links_count 9", "set_super_value state 3"]);
        assert_ne!(found(&image).0, Some(0), "it is damaged");

        let ran = world.up(&["read", "--keep-going"]).finish();
        let warnings: Vec<String> =
            ran.named("warning").filter_map(|event| event["text"].as_str().map(str::to_owned)).collect();
        assert!(
            warnings.iter().any(|text| text.starts_with("machine `box`: the volume `data` had an error")),
            "{}",
            ran.told()
        );
        let ran = ran.passed();
        let room: u64 = ran.stdout("read").lines().last().unwrap().trim().parse().unwrap();
        assert!(room > 30 << 10, "{who:?}: {room} KiB");
        assert_eq!(found(&image).0, Some(0), "{who:?}: {}", found(&image).1);

        // Without its root folder there is something to decide.
        change(&image, &["clri <2>", "set_super_value state 3"]);
        let ran = world.up(&["read"]).finish();
        assert_eq!(ran.code, Some(125), "{}", ran.told());
        assert!(
            ran.told().contains("it is damaged, and cannot be mended without a decision of yours"),
            "{}",
            ran.told()
        );
        assert!(ran.told().contains(&format!("e2fsck -f -y '{}'", image.display())), "{}", ran.told());
        world.assert_no_process_stays();
    });
}
