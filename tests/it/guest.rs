//! What a step finds in its machine: user, environment, shell, system, mounts, CPUs; and what it may rely on.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::events::Ran;
use crate::invoker::Invoker;
use crate::probe::with_probe;
use crate::support::{Case, machines};

/// A project that says its events.
fn project(file: &str) -> Case {
    let args = ["up", "--accel", "tcg", "--progress", "json", "--keep-going"];
    Case::new().file("smolvm.yaml", file).with_shared_cache().args(args)
}

/// Steps that look at their system; `LONG` is the place of a long script.
const SYSTEM: &str = "name: acme
env: { LEVEL: file, FILE: file, EMPTY: \"\" }
machines:
  box:
    cpus: 2
    memory: 512MiB
    hostname: build-host
    working_dir: /usr/share
    env: { LEVEL: machine, MACHINE: \"a b\\\"c\" }
    mounts: [\"./bin:/opt/bin:ro\", \"./out:/out\"]
steps:
  - { id: env, run: [/opt/bin/probe, environment], env: { LEVEL: step, STEP: \"grün\" } }
  - { id: env-root, run: [/opt/bin/probe, environment], working_dir: /tmp, env: { PATH: /mine, HOME: /h } }
  - { id: sh, run: \"echo $0; set -o | grep -cE '^(errexit|nounset) *on'; pwd; false; echo never\", continue_on_error: true }
  - { id: bash, shell: bash, run: \"echo ${BASH_VERSION:0:1} $0 $-; false; echo on\" }
  - { id: pipefail, shell: [bash, -euo, pipefail], run: \"false | true\", continue_on_error: true }
  - { id: perl, shell: [perl, -w], run: \"print \\\"$0 \\\", 6 * 7, \\\"\\\\n\\\"\" }
  - { id: list, run: [echo, \"$HOME\", \"*\", \"a  b\"] }
  - id: long
    run: |
LONG
      echo end; wc -c < $0
  - id: system
    run: |
      hostname; cat /etc/hostname; umask; pwd; cat; ls /sys/class/net; nproc; ls -A ~ | wc -l
      test -w /workspace; test -w /tmp; test -w /dev/shm; test -c /dev/null; test -e /dev/stdout
      /opt/bin/probe random; date +%s.%N
  - id: orphans
    run: |
      /opt/bin/probe orphans 50
      for each in 1 2 3 4 5 6 7 8 9 10; do
        grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null > /tmp/zombies || break
        sleep 0.1
      done
      ! test -s /tmp/zombies || ! grep -h State $(cat /tmp/zombies)
  - id: outputs
    run: touch /out/a.txt /out/b.txt; mkdir -p /out/deep/er; touch /out/deep/er/c
    outputs: [/out/*.txt, /out/**/c, \"/out/?.txt\", /out/deep]
  - { id: no-output, needs: [], run: \"true\", outputs: [/out/a.txt, /out/no*] }
";

#[test]
fn steps_find_the_system_that_they_may_rely_on() {
    let Some(_machines) = machines() else { return };
    let long: String = (0..20_000).map(|line| format!("      : {line:020}\n")).collect();
    let case = project(&SYSTEM.replace("LONG\n", &long));
    let case = with_probe(case, "bin").folder("out").env("SECRET_TOKEN", "leaked").env("LEVEL", "host");
    let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let ran = Ran::of(case.command());
    let end = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let sorted = |step: &str| {
        let text = ran.stdout(step);
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines.join("\n")
    };
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(
        sorted("env"),
        format!(
            "EMPTY=\nFILE=file\nHOME=/root\nHOSTNAME=build-host\nLEVEL=step\nLOGNAME=root\nMACHINE=a b\"c\nPATH={path}\n\
             STEP=grün\nUSER=root"
        )
    );
    assert!(sorted("env-root").contains("HOME=/h\n") && sorted("env-root").contains("PATH=/mine\n"));
    assert_eq!(ran.stdout("sh"), "/run/smolvm/steps/sh\n2\n/usr/share\n");
    assert_eq!(ran.end("sh"), ("failed", Some(1), ""));
    assert!(ran.stdout("bash").contains("/run/smolvm/steps/bash h") && ran.stdout("bash").ends_with("on\n"));
    assert_eq!(ran.end("pipefail"), ("failed", Some(1), ""));
    assert_eq!(ran.stdout("perl"), "/run/smolvm/steps/perl 42\n");
    assert_eq!(ran.stdout("list"), "$HOME * a  b\n");
    assert_eq!(ran.stdout("long").lines().next(), Some("end"), "{}", ran.told());
    let system = ran.stdout("system");
    let (system, clock) = system.trim_end().rsplit_once('\n').unwrap();
    let (system, random) = system.rsplit_once('\n').unwrap();
    assert_eq!(system, "build-host\nbuild-host\n0022\n/usr/share\nlo\n2\n0", "{}", ran.told());
    assert!(random.len() == 32 && random != "0".repeat(32), "{random}");
    let clock: f64 = clock.parse().unwrap();
    assert!(start - 3.0 < clock && clock < end + 3.0, "{start} {clock} {end}");
    for step in ["orphans", "outputs"] {
        assert_eq!(ran.end(step), ("passed", Some(0), ""), "{}", ran.told());
    }
    assert_eq!(ran.end("no-output"), ("failed", Some(1), "output is missing: `/out/no*`"), "{}", ran.told());
    assert_eq!(ran.code, Some(1));
}

/// An image of a few files: the probe, accounts, and a home.
fn small_image(case: Case) -> Case {
    let case = with_probe(case, "image/bin")
        .file("image/etc/passwd", "root:x:0:0::/root:/bin/sh\nann:x:1000:100::/home/ann:/bin/sh\nbare:x:1001:1001:::\n")
        .file("image/etc/group", "root:x:0:\nusers:x:100:\nbuild:x:200:bob,ann\ndisk:x:6:ann\n")
        .folder("image/home");
    let program = case.project().join("image/bin/probe");
    fs::set_permissions(program, PermissionsExt::from_mode(0o755)).unwrap();
    case
}

const USERS: &[(&str, &str)] = &[
    ("root", "0:0 groups 0 home /root user root"),
    ("0", "0:0 groups 0 home /root user root"),
    ("ann", "1000:100 groups 6,100,200 home /home/ann user ann"),
    ("1000", "1000:100 groups 6,100,200 home /home/ann user ann"),
    ("bare", "1001:1001 groups 1001 home / user bare"),
    ("4242", "4242:0 groups 0 home / user -"),
    ("4242:4343", "4242:4343 groups 4343 home / user -"),
    ("4242:build", "4242:200 groups 200 home / user -"),
    ("ann:build", "1000:200 groups 6,100,200 home /home/ann user ann"),
    ("ann:55", "1000:55 groups 6,55,100,200 home /home/ann user ann"),
];

#[test]
fn a_folder_is_an_image_with_its_own_users_whoever_runs_it() {
    let Some(_machines) = machines() else { return };
    let mut file = "name: acme
machines:
  box: { image: \"dir:./image\", cpus: 1, memory: 256MiB, user: ann }
steps:
  - { id: machine, run: [probe, who] }
  - { id: shell, needs: [], run: \"true\" }
  - { id: eve, needs: [], run: [/bin/probe, who], user: eve }
  - { id: group, needs: [], run: [/bin/probe, who], user: \"ann:eves\" }
  - { id: gone, needs: [], run: [/bin/probe, who], working_dir: /home/gone }
  - { id: home, needs: [], run: [/bin/probe, who], working_dir: /home/ann }
  - { id: writes, needs: [], run: [/bin/probe, write, /home/ann/file] }
"
    .to_owned();
    for (place, (user, _)) in USERS.iter().enumerate() {
        file.push_str(&format!("  - {{ id: user-{place}, needs: [], run: [/bin/probe, who], user: \"{user}\" }}\n"));
    }
    file.push_str("  - { id: root-writes, needs: [], run: [/bin/probe, write, /etc/passwd], user: root }\n");
    for invoker in Invoker::all() {
        let stage = invoker.stage(small_image(project(&file)));
        let ran = Ran::of(stage.command());
        assert_eq!(ran.code, Some(127), "{invoker:?}: {}", ran.told());
        for (place, (user, expected)) in USERS.iter().enumerate() {
            let said = ran.stdout(&format!("user-{place}"));
            let said = sort_groups(&said);
            assert_eq!(said, format!("{expected} in / umask 022\n"), "{user}: {}", ran.told());
        }
        assert!(ran.stdout("machine").starts_with("1000:100 "), "{}", ran.told());
        assert_eq!(ran.end("shell"), ("failed", Some(127), "there is no program `sh` in the machine"));
        assert_eq!(ran.end("eve"), ("failed", Some(126), "the image has no user `eve`"));
        assert_eq!(ran.end("group"), ("failed", Some(126), "the image has no group `eves`"));
        assert_eq!(ran.end("gone"), ("failed", Some(126), "the working folder `/home/gone` does not exist"));
        assert!(ran.stdout("home").contains(" in /home/ann "));
        assert_eq!((ran.stdout("writes"), ran.stdout("root-writes")), (String::new(), String::new()));
        let passwd = fs::read_to_string(stage.project().join("image/etc/passwd")).unwrap();
        assert!(passwd.starts_with("root:x:0:0"), "an image is never written");
        assert!(!stage.project().join("image/home/ann").exists());
    }
}

/// The kernel keeps groups in its own order.
fn sort_groups(line: &str) -> String {
    let Some((before, rest)) = line.split_once(" groups ") else { return line.to_owned() };
    let (groups, after) = rest.split_once(' ').unwrap();
    let mut groups: Vec<u32> = groups.split(',').map(|each| each.parse().unwrap()).collect();
    groups.sort_unstable();
    groups.dedup();
    let groups: Vec<String> = groups.iter().map(u32::to_string).collect();
    format!("{before} groups {} {after}", groups.join(","))
}

#[test]
fn mounts_nest_parents_first_and_keep_any_name() {
    let Some(_machines) = machines() else { return };
    let case = project(
        "name: acme
machines:
  box:
    cpus: 1
    memory: 512MiB
    mounts:
      - ./cache:/tree/read only/inner/cache
      - { source: ./made, target: /tree/out/made/here, create: true }
      - \"./a b/ünï:/tree/read only/inner:ro\"
      - \"./a b:/tree/read only:ro\"
      - ./out:/tree/out
      - { source: './odd \\ \"name', target: '/odd \\ name', create: true }
      - ./work:/workspace/below
steps:
  - id: look
    run: |
      cd /tree
      cat 'read only/outer' 'read only/inner/inner' 'read only/inner/cache/cache'
      for each in 'read only/x' 'read only/inner/x' ; do ! touch \"$each\" 2>/dev/null; done
      touch 'read only/inner/cache/x' out/made/here/y out/z '/odd \\ name/w' /workspace/below/v
      ls -d '/odd \\ name' /tree/out/made
      rmdir out/made/here 2>/dev/null || echo busy
",
    );
    let case = case
        .file("a b/outer", "outer\n")
        .file("a b/ünï/inner", "inner\n")
        .folder("a b/ünï/cache")
        .folder("a b/inner")
        .file("cache/cache", "cache\n")
        .folder("out")
        .folder("work");
    let ran = Ran::of(case.command()).passed();
    assert_eq!(ran.stdout("look"), "outer\ninner\ncache\n/odd \\ name\n/tree/out/made\nbusy\n");
    for made in ["cache/x", "made/y", "out/z", "odd \\ \"name/w", "work/v", "out/made/here"] {
        assert!(case.project().join(made).exists(), "{made}");
    }
    assert!(!case.project().join("a b/x").exists() && !case.project().join("a b/ünï/x").exists());
}

#[test]
fn as_many_mounts_as_a_machine_may_have_are_there_and_right() {
    let Some(_machines) = machines() else { return };
    let mut file = "name: acme\nmachines:\n  box:\n    cpus: 2\n    memory: 512MiB\n    mounts:\n".to_owned();
    let mut case = Case::new();
    for number in 0..24 {
        let mode = if number % 2 == 0 { ":ro" } else { "" };
        file.push_str(&format!("      - ./m{number}:/m/{number}{mode}\n"));
        case = case.file(&format!("m{number}/name"), format!("{number}\n"));
    }
    file.push_str("steps:\n  - { id: look, run: \"cd /m; cat $(ls | sort -n | sed 's,$,/name,'); for each in *; do touch $each/new || true; done\" }\n");
    let args = ["up", "--accel", "tcg", "--progress", "json"];
    let case = case.file("smolvm.yaml", file).with_shared_cache().args(args);
    let ran = Ran::of(case.command());
    let expected: String = (0..24).map(|number| format!("{number}\n")).collect();
    assert_eq!(ran.stdout("look"), expected, "{}", ran.told());
    for number in 0..24 {
        assert_eq!(case.project().join(format!("m{number}/new")).exists(), number % 2 == 1, "{number}");
    }
}
