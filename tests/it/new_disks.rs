//! What new disks begin with, in real machines: the folder that the image has in their place, or the machine's user.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use tar::{Builder, EntryType, Header};

use crate::registry::images::made_once;
use crate::support::machines;
use crate::world::{World, as_everyone};

/// Changes whenever the image does.
const IMAGE_VERSION: u32 = 2;

struct Layer(Builder<File>);

impl Layer {
    fn add(&mut self, kind: EntryType, path: &str, (mode, owner): (u32, u64), data: &[u8]) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(owner);
        header.set_gid(owner);
        header.set_mtime(1_600_000_000);
        header.set_size(u64::try_from(data.len()).unwrap());
        self.0.append_data(&mut header, path, data).unwrap();
    }

    fn link(&mut self, kind: EntryType, path: &str, target: &str) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o777);
        header.set_uid(1000);
        header.set_gid(1000);
        header.set_mtime(1_600_000_000);
        header.set_size(0);
        self.0.append_link(&mut header, path, target).unwrap();
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A small root with a user `app`, whose folders `/srv/data` and `/workspace` hold something.
fn image() -> String {
    let folder = made_once(&format!("new-disks-{IMAGE_VERSION}"), |folder| {
        let tar = folder.join("layer.tar");
        let mut layer = Layer(Builder::new(File::create(&tar).unwrap()));
        let busybox = ["/usr/bin/busybox", "/bin/busybox"].iter().find_map(|path| fs::read(path).ok()).unwrap();
        layer.add(EntryType::Regular, "bin/busybox", (0o755, 0), &busybox);
        for tool in ["sh", "stat", "find", "cat", "ls", "sort", "rm", "id", "touch", "readlink", "mkdir"] {
            layer.link(EntryType::Symlink, &format!("bin/{tool}"), "busybox");
        }
        layer.add(EntryType::Regular, "etc/passwd", (0o644, 0), b"root:x:0:0::/:/bin/sh\napp:x:1000:1000::/:/bin/sh\n");
        layer.add(EntryType::Directory, "srv/data", (0o2750, 1000), b"");
        layer.add(EntryType::Regular, "srv/data/seed", (0o640, 1000), b"from the image\n");
        layer.add(EntryType::Directory, "srv/data/deep", (0o2711, 1000), b"");
        layer.add(EntryType::Regular, "srv/data/deep/tool", (0o4755, 0), b"tool");
        layer.link(EntryType::Symlink, "srv/data/deep/link", "/nowhere");
        layer.link(EntryType::Link, "srv/data/again", "srv/data/seed");
        layer.add(EntryType::Fifo, "srv/data/pipe", (0o622, 5), b"");
        layer.add(EntryType::Directory, "workspace", (0o755, 1000), b"");
        layer.add(EntryType::Regular, "workspace/readme", (0o600, 1000), b"read me\n");
        layer.link(EntryType::Symlink, "data", "srv/data");
        layer.0.finish().unwrap();
        let layout = folder.join("layout");
        let name = format!("{}:only", layout.display());
        run(Command::new("umoci").args(["init", "--layout"]).arg(&layout));
        run(Command::new("umoci").args(["new", "--image", &name]));
        run(Command::new("umoci").args(["raw", "add-layer", "--image", &name]).arg(&tar));
        run(Command::new("chmod").args(["-R", "a+rX"]).arg(folder));
    });
    let layout: PathBuf = folder.join("layout");
    format!("oci:{}", layout.display())
}

const LISTING: &str = "find /data/ /workspace -exec stat -c '%n %a %u:%g %h %Y' {} + | sort; cat /data/seed; \
                       readlink /data/deep/link; stat -c '%a %u' /mine; echo mine > /mine/mine";

const FILLED: &str = "/data/ 2750 1000:1000 3 1600000000
/data/again 640 1000:1000 2 1600000000
/data/deep 2711 1000:1000 2 1600000000
/data/deep/link 777 1000:1000 1 1600000000
/data/deep/tool 4755 0:0 1 1600000000
/data/pipe 622 5:5 1 1600000000
/data/seed 640 1000:1000 2 1600000000
/workspace 755 1000:1000 2 1600000000
/workspace/readme 600 1000:1000 1 1600000000
from the image
/nowhere
1777 1000
";

#[test]
fn a_new_disk_takes_what_the_image_has_in_its_place_once() {
    let Some(_machines) = machines() else { return };
    if crate::registry::is_skipped() {
        return;
    }
    let image = image();
    as_everyone(|who| {
        let world = World::new(who);
        let up = |user: &str, script: &str| {
            let file = format!(
                "name: acme\nvolumes: {{ data: , mine: }}\nmachines:\n  box: {{ image: '{image}', cpus: 1, \
                 memory: 256MiB, user: '{user}', mounts: [\"data:/data\", \"mine:/mine\"] }}\nsteps:\n  - run: |\n      {script}\n"
            );
            world.write("project/smolvm.yaml", &file);
            world.up(&[]).finish().passed().stdout("step-1")
        };
        assert_eq!(up("app", LISTING), FILLED, "{who:?}");
        assert_eq!(up("app", "rm -rf /data/seed /data/again /data/pipe; touch /workspace/more"), "");
        let now = up("root", "ls -A /data /mine /workspace; stat -c '%n %a %u' /mine /data/.");
        let kept = "/data:\ndeep\n\n/mine:\nmine\n\n/workspace:\nmore\nreadme\n/mine 1777 1000\n/data/. 2750 1000\n";
        assert_eq!(now, kept, "{who:?}");
    });
}
