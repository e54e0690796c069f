//! Every future is dropped at points that nobody has chosen, and nothing is left.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use smolvm::{ExecSpec, Machine, MachineConfig, MountSpec};

use super::streams::nothing_sleeps;
use super::{Outcome, PATIENCE, folder, no_children, small};

/// Numbers that look like chance, the same in each run of the tests.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Duration::from_micros(self.0 % limit)
    }
}

/// Descriptors of this process.
fn descriptors() -> Vec<String> {
    let found = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    found.filter_map(|entry| fs::read_link(entry.path()).ok()).map(|path| path.display().to_string()).collect()
}

/// Waits until this process has hardly more descriptors than it had.
async fn no_descriptors_beyond(before: &[String]) {
    let start = Instant::now();
    while descriptors().len() > before.len() + 2 {
        assert!(start.elapsed() < PATIENCE, "before: {before:?}\nnow: {:?}", descriptors());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn mounted() -> String {
    fs::read_to_string("/proc/self/mounts").unwrap_or_default()
}

fn entries(folder: &Path) -> Vec<String> {
    let found = fs::read_dir(folder).into_iter().flatten().flatten();
    found.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

pub(crate) async fn nothing_is_left(world: &Path) -> Outcome {
    let output = folder(&world.join("project"), "dropped", None);
    let mounts = vec![MountSpec::new(&output, "/output")];
    let machine = Machine::create(MachineConfig { mounts, ..small("dice") }).await?;
    let mut dice = Dice(0x5eed);
    // What a runtime and a first boot hold for good is no leftover.
    machine.start().await?;
    machine.stop().await?;
    no_children().await;
    let before = (descriptors(), mounted());

    for _ in 0..8 {
        let time = dice.below(1_500_000);
        // One that came up is dropped with its machine.
        let dropped = tokio::time::timeout(time, machine.start()).await;
        if matches!(dropped, Ok(Ok(()))) {
            let _ = tokio::time::timeout(dice.below(200_000), machine.stop()).await;
        }
        let _ = tokio::time::timeout(dice.below(1_500_000), machine.run("host", ["sleep", "4321"])).await;
    }
    // It waits for what it left itself, and comes up.
    machine.start().await?;
    for turn in 0..60 {
        let spec =
            ExecSpec { stdin: Some(vec![b'x'; 1 << 20]), ..ExecSpec::from(["sh", "-c", "cat; exec sleep 4321"]) };
        let time = dice.below(60_000);
        match turn % 3 {
            0 => drop(tokio::time::timeout(time, machine.exec(spec)).await),
            1 => drop(tokio::time::timeout(time, machine.spawn(["sleep", "4321"])).await),
            _ => {
                let mut running = machine.spawn(["sh", "-c", "echo $$; exec sleep 4321"]).await?;
                drop(tokio::time::timeout(time, running.next()).await);
                drop(tokio::time::timeout(time, running.wait()).await);
            }
        }
    }
    nothing_sleeps(&machine).await?;
    assert!(machine.exec(["true"]).await?.success());
    drop(machine);
    no_children().await;
    // A new value of the name waits for the old one.
    let again = Machine::create(small("dice")).await?;
    again.start().await?;
    again.stop().await?;
    no_children().await;
    no_descriptors_beyond(&before.0).await;
    assert_eq!(mounted(), before.1);
    assert_eq!(entries(&world.join("run")), Vec::<String>::new());
    assert_eq!(entries(&output), Vec::<String>::new());
    Ok(())
}
