//! smolvm is killed at random moments of a run, and nothing is left of it but what the next command clears and names.
//!
//! Deliberately not here: kills in a chosen phase (`leftovers`).

use std::fs;
use std::time::{Duration, Instant};

use crate::support::machines;
use crate::world::{Who, World, as_everyone};

/// Numbers that look like chance and are the same in every run of a test.
struct Chance(u64);

impl Chance {
    /// A part of a duration.
    fn part_of(&mut self, whole: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let thousandth = u32::try_from(self.0 >> 32 & 1023).unwrap();
        whole * thousandth / 1024
    }
}

fn project(world: &World) {
    world.make_folder("project/out");
    world.project(
        ", mounts: [./out:/out]",
        "steps:
  - { id: write, run: \"for i in 1 2 3 4 5 6 7 8 9; do echo $i >> /out/file; sync /out/file; done; sleep 0.3\" }
  - { id: read, run: cat /out/file }
finally:
  - { id: tidy, run: sleep 0.1 }
",
    );
}

/// What an earlier run may have made in the cache, so that this one makes it again.
fn forget_boot_files(world: &World) {
    for entry in fs::read_dir(world.cache()).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("vmlinux-") || name.starts_with("initramfs-") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}

fn kill_often(who: Who, seed: u64, count: usize) {
    let world = World::new(who);
    project(&world);
    let undeclared = || {
        let files = world.project_files().into_iter();
        files.filter(|(path, _)| !path.ends_with("out/file")).collect::<Vec<_>>()
    };
    let before = undeclared();
    let (mut chance, start) = (Chance(seed), Instant::now());
    assert_eq!(world.up(&[]).finish().code, Some(0));
    let whole = start.elapsed();
    let mut marks = 0;
    for round in 0..count {
        if round % 2 == 1 {
            forget_boot_files(&world);
        }
        let mut live = world.up(&[]);
        let moment = chance.part_of(whole);
        live.pass(moment);
        let ended = live.kill();
        marks += usize::from(ended.stderr.contains("was killed before its end; cleared what it left"));
        world.assert_only_state_stays();
    }
    // Of a run that was killed while it held the project the next one speaks, once.
    let last = world.up(&[]).finish();
    assert_eq!(last.code, Some(0), "{}", last.told());
    assert!(marks > 0, "no run said that one before it was killed");
    world.assert_nothing_stays();
    assert_eq!(world.up(&[]).finish().stderr.matches("was killed").count(), 0);
    assert_eq!(undeclared(), before);
    assert!(world.files("cache").keys().all(|path| !path.to_string_lossy().contains("/.new-")), "left in the cache");
}

#[test]
fn of_a_few_kills_at_random_moments_nothing_is_left() {
    let Some(_machines) = machines() else { return };
    as_everyone(|who| kill_often(who, 0x5eed_0001, 4));
}

#[test]
#[ignore = "slow: make test-all"]
fn of_a_hundred_kills_at_random_moments_nothing_is_left() {
    let Some(_machines) = machines() else { return };
    as_everyone(|who| kill_often(who, 0x5eed_0002, 50));
}
