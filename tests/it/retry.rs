//! A step that is tried again in a real machine. Deliberately not here: what ends the trying (`run::tests::retry`).

use std::fs;

use crate::support::machines;
use crate::world::{Who, World};

/// Fails with 7, then without its output, then passes; each attempt leaves a process behind.
const STEPS: &str = "steps:
  - id: flaky
    retry: { attempts: 3, delay: 1s }
    outputs: [/out/done]
    run: |
      echo x >> /out/count
      sleep 600 &
      count=$(wc -l < /out/count)
      printf \"try $count\"
      test $count != 1 || exit 7
      test $count = 2 || touch /out/done
  - { id: after, run: cat /out/count }
";

#[test]
fn a_step_is_tried_in_its_machine_until_it_passes_with_its_outputs() {
    let Some(_machines) = machines() else { return };
    let world = World::new(Who::Ourselves);
    world.make_folder("project/out");
    world.project(", mounts: [./out:/out]", STEPS);
    let ran = world.up(&[]).finish().passed();
    let attempts: Vec<_> = ran.named("step-started").map(|event| event["attempt"].as_u64().unwrap()).collect();
    assert_eq!(attempts, [1, 2, 3, 1]);
    assert_eq!(ran.stdout("after"), "x\nx\nx\n");
    let log = ran.finished("flaky")["log"].as_str().unwrap();
    let log = fs::read_to_string(log).unwrap();
    assert_eq!(log, "try 1\n[smolvm: attempt 2]\ntry 2\n[smolvm: attempt 3]\ntry 3");
    let told = ran.told();
    assert!(told.contains("attempt 1 of 3 failed: exit code 7; again in 1s"), "{told}");
    assert!(told.contains("attempt 2 of 3 failed: output is missing: `/out/done`; again in 1s"), "{told}");
    world.assert_nothing_stays();
}
