//! Owners other than the invoker: the guest's own ids, fixed ones, and what is given away when a step has ended.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use crate::events::Ran;
use crate::invoker::{Invoker, is_root};
use crate::support::{Case, all_below, machines};

const FILE: &str = r#"name: acme
machines:
  box:
    cpus: 1
    memory: 512MiB
    mounts:
      - { source: ./kept, target: /kept, owner: guest }
      - { source: ./fixed, target: /fixed, owner: "2001:2002" }
      - { source: ./named, target: /named, owner: nobody, create: true }
      - { source: ./out, target: /out, owner: guest }
      - { source: ./mine, target: /mine }
      - { source: ./conf/one.conf, target: /etc/one.conf, owner: guest }
      - { source: "./conf/t[w]o.conf", target: /etc/two.conf, owner: guest }
steps:
  - id: literal
    run: |
      cd /kept
      as() { setpriv --reuid 1000 --regid 1000 --clear-groups "$@"; }
      stat -c '%n %u:%g %a' host
      touch root; mkdir dir; ln -s root link; mkfifo fifo; chown 33:34 root; chmod 640 root
      cp /bin/true suid; chown 5:6 suid; 
      for file in written cut; do cp suid $file; chown 1000:1000 $file; chmod 4777 $file; done
      as sh -c 'echo x >> written; : > cut'
      stat -c '%n %a' written cut
      ! mknod zero c 1 5 2>/dev/null; ! mknod disk b 8 0 2>/dev/null
      install -d -o 1000 -g 1000 home; install -d -m 2775 -o 0 -g 50 team
      as sh -euc 'cd home; echo x > file; mkdir dir; ln -s file link; ln file hard; mkfifo fifo; ! chown 0 file 2>/dev/null'
      as sh -c '! touch /kept/dir/no 2>/dev/null'
      touch team/file; chmod 1777 .; chmod 6755 suid
      stat -c '%n %u:%g %a' suid written home/file team/file
  - { id: nobody, user: nobody, run: "echo x > /kept/by-nobody; stat -c '%n %u:%g' /kept/by-nobody /fixed /named" }
  - { id: fixed, user: "4242:4343", run: "touch /fixed/a; mkdir /fixed/b; touch /named/c; stat -c '%n %u:%g' /fixed/a /named/c" }
  - id: declared
    chown: true
    outputs: [/out/dist, "/out/*.tar", /mine/result, /etc/one.conf]
    run: |
      cd /out
      mkdir -p dist/deep/er other; touch dist/deep/er/file a.tar b.tar other/file notes /mine/result
      ln -s /etc/shadow dist/absolute; ln -s ../../outside dist/relative; ln -s nowhere dist/dangling; ln -s ../other dist/inside
      touch dist/twin; ln dist/twin other/twin
      cp /bin/true dist/suid; chown 4242:4343 /etc/one.conf
      chown -hR 4242:4343 dist other notes a.tar b.tar; chmod 6755 dist/suid
  - id: recorded
    chown: "3001:3002"
    run: |
      cd /out
      mkdir -p rec/sub; touch rec/sub/new; ln -s new rec/sub/link
      echo x >> host/written; chmod 600 host/mode; mv host/moved host/elsewhere; : > host/cut
      python3 -c "import mmap; f = open('host/mapped', 'r+b'); mmap.mmap(f.fileno(), 0)[0] = 65"
      cat host/read > /dev/null; touch gone; rm gone; echo x >> /etc/two.conf
  - { id: failing, chown: "3001:3002", continue_on_error: true, run: "touch /out/failed; exit 7" }
  - { id: slow, chown: "3001:3002", continue_on_error: true, timeout: 2s, run: "touch /out/slow; sleep 60" }
  - { id: nothing, chown: "3001:3002", run: "true" }
  - id: hostile
    chown: "3001:3002"
    outputs: [/out/arena]
    run: |
      mkdir /out/arena
      for i in 0 1 2 3 4 5 6 7; do mkdir -p /out/arena/d$i/deep; touch /out/arena/d$i/deep/file; ln -s ../victim /out/arena/l$i; done
      cat > /tmp/swap.py <<'END'
      import os
      os.chdir('/out/arena')
      open('/tmp/swapping', 'w').close()
      while True:
          for i in range(8):
              os.rename('d%d' % i, 't'); os.rename('l%d' % i, 'd%d' % i); os.rename('t', 'l%d' % i)
      END
      setsid python3 /tmp/swap.py > /dev/null 2>&1 &
      while ! test -e /tmp/swapping; do :; done
finally:
  - { id: still, run: "pgrep -f swap.py > /dev/null; test -e /out/victim/deep/file" }
"#;

const HOST_FILES: [&str; 6] = ["written", "mode", "moved", "cut", "mapped", "read"];

/// Owner and mode of all below a folder; links are not followed.
fn owners(folder: &Path) -> BTreeMap<String, (u32, u32, u32)> {
    let found = all_below(folder).into_iter().map(|(path, data)| {
        let name = path.strip_prefix(folder).unwrap().display().to_string();
        (name, (data.uid(), data.gid(), data.mode() & 0o7777))
    });
    found.collect()
}

fn project(invoker: Invoker) -> crate::invoker::Stage {
    let mut case = Case::new()
        .file("smolvm.yaml", FILE)
        .with_shared_cache()
        .args(["up", "--accel", "tcg", "--progress", "json"])
        .file("kept/host", "of the host")
        .file("fixed/host", "")
        .file("mine/host", "")
        .file("outside", "")
        .file("conf/one.conf", "")
        .file("conf/t[w]o.conf", "")
        .file("conf/beside.conf", "")
        .file("out/victim/deep/file", "");
    for name in HOST_FILES {
        case = case.file(&format!("out/host/{name}"), "content of the host");
    }
    let stage = invoker.stage(case);
    let at = |name: &str| stage.project().join(name);
    chown(at("kept/host"), Some(777), Some(888)).unwrap();
    fs::set_permissions(at("kept/host"), fs::Permissions::from_mode(0o640)).unwrap();
    chown(at("fixed"), Some(2001), Some(2002)).unwrap();
    for name in ["one.conf", "t[w]o.conf", "beside.conf"] {
        chown(at("conf").join(name), Some(777), Some(888)).unwrap();
    }
    for name in HOST_FILES {
        chown(at("out/host").join(name), Some(777), Some(888)).unwrap();
    }
    stage
}

#[test]
fn owners_of_the_guest_and_fixed_ones_are_those_of_the_host_and_steps_give_what_they_made() {
    check_all(Invoker::Sudo);
}

#[test]
#[ignore = "slow: make test-all"]
fn owners_and_gifts_of_root_itself() {
    check_all(Invoker::Own);
}

/// Who gives is root, whoever called it.
fn check_all(invoker: Invoker) {
    let Some(_machines) = machines() else { return };
    if !is_root() {
        return;
    }
    let stage = project(invoker);
    let ran = Ran::of(stage.command()).passed();
    check_literal(&ran, &stage.project());
    check_fixed(&ran, &stage.project());
    check_given(&ran, &stage.project(), invoker);
}

fn check_literal(ran: &Ran, project: &Path) {
    let stat = "host 777:888 640\nwritten 777\ncut 777\nsuid 5:6 6755\nwritten 1000:1000 777\n\
                home/file 1000:1000 644\nteam/file 0:50 644\n";
    assert_eq!(ran.stdout("literal"), stat);
    let seen = owners(&project.join("kept"));
    for (name, expected) in [
        ("host", (777, 888, 0o640)),
        ("root", (33, 34, 0o640)),
        ("dir", (0, 0, 0o755)),
        ("link", (0, 0, 0o777)),
        ("fifo", (0, 0, 0o644)),
        ("suid", (5, 6, 0o6755)),
        ("written", (1000, 1000, 0o777)),
        ("cut", (1000, 1000, 0o777)),
        ("home/file", (1000, 1000, 0o644)),
        ("home/hard", (1000, 1000, 0o644)),
        ("home/dir", (1000, 1000, 0o755)),
        ("home/link", (1000, 1000, 0o777)),
        ("home/fifo", (1000, 1000, 0o644)),
        ("team", (0, 50, 0o2775)),
        ("team/file", (0, 50, 0o644)),
        ("by-nobody", (65_534, 65_534, 0o644)),
    ] {
        assert_eq!(seen.get(name), Some(&expected), "{name}: {seen:?}");
    }
    assert!(!seen.contains_key("zero") && !seen.contains_key("disk") && !seen.contains_key("dir/no"));
}

fn check_fixed(ran: &Ran, project: &Path) {
    assert_eq!(ran.stdout("nobody"), "/kept/by-nobody 65534:65534\n/fixed 65534:65534\n/named 65534:65534\n");
    assert_eq!(ran.stdout("fixed"), "/fixed/a 4242:4343\n/named/c 4242:4343\n");
    let owner = |name: &str| fs::metadata(project.join(name)).map(|data| (data.uid(), data.gid())).unwrap();
    assert_eq!((owner("fixed/a"), owner("fixed/b")), ((2001, 2002), (2001, 2002)));
    assert_eq!((owner("named"), owner("named/c")), ((65_534, 65_534), (65_534, 65_534)));
}

fn check_given(ran: &Ran, project: &Path, invoker: Invoker) {
    let seen = owners(&project.join("out"));
    let owner = |name: &str| seen.get(name).map(|(uid, gid, _)| (*uid, *gid)).unwrap_or_else(|| panic!("no {name}"));
    let (mine, guest, new, host) = (invoker.owner(), (4242, 4343), (3001, 3002), (777, 888));
    for (names, expected) in [
        (["dist", "dist/deep/er/file", "dist/absolute", "dist/dangling", "dist/inside", "b.tar"], mine),
        (["other", "other/file", "notes", "dist/twin", "other/twin", "other"], guest),
        (["rec", "rec/sub/new", "rec/sub/link", "host/written", "host/mode", "host/elsewhere"], new),
        (["host/cut", "host/mapped", "failed", "slow", "arena", "failed"], new),
        (["host/read"; 6], host),
        (["victim", "victim/deep", "victim/deep/file", "host", "host", "host"], invoker.owner()),
    ] {
        for name in names {
            assert_eq!(owner(name), expected, "{invoker:?}: {name}");
        }
    }
    assert_eq!(seen["dist/suid"].2, 0o755);
    let files = owners(&project.join("conf"));
    let files: Vec<(u32, u32)> = files.values().map(|(uid, gid, _)| (*uid, *gid)).collect();
    assert_eq!(files, [host, mine, new], "beside, one, t[w]o");
    assert_eq!(fs::metadata(project.join("outside")).unwrap().uid(), mine.0);
    let counts: Vec<(&str, u64, u64)> = ran
        .named("ownership")
        .map(|event| {
            let count = |key: &str| event[key].as_u64().unwrap();
            (event["step"].as_str().unwrap(), count("changed"), count("linked"))
        })
        .filter(|(step, ..)| *step != "hostile")
        .collect();
    let expected = [("declared", 12, 1), ("recorded", 10, 0), ("failing", 1, 0), ("slow", 1, 0), ("nothing", 0, 0)];
    assert_eq!(counts, expected, "{invoker:?}");
    assert_eq!(ran.end("failing").1, Some(7));
    assert_eq!(ran.end("slow").0, "timed-out");
    let hostile = ran.named("ownership").find(|event| event["step"] == "hostile").unwrap();
    assert!(hostile["changed"].as_u64() >= Some(1));
}

#[test]
fn who_is_not_root_is_told_before_anything_runs() {
    let invoker = if is_root() { Invoker::Ordinary } else { Invoker::Own };
    let case = Case::new()
        .file("smolvm.yaml", FILE)
        .args(["up", "--progress", "json"])
        .file("kept/host", "")
        .file("fixed/host", "")
        .file("out/host", "")
        .file("conf/one.conf", "")
        .file("conf/t[w]o.conf", "")
        .file("mine/host", "");
    let ran = Ran::of(invoker.stage(case).command());
    assert_eq!(ran.code, Some(78), "{}", ran.told());
    let codes: Vec<&str> = ran.named("diagnostic").map(|event| event["code"].as_str().unwrap()).collect();
    assert!(codes.contains(&"SMOL0602") && codes.iter().all(|code| *code == "SMOL0602"), "{codes:?}");
    assert_eq!(ran.named("machine").count(), 0);
}
