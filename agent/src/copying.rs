//! The agent's program as a command of its own machine: files to and from standard input and output, for `cp`. It works
//! in images that have no program at all, with the rights of whoever runs it.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use smolvm_agent::{Destination, FOLLOWED, IMPORT, PACK, Skipped, UNPACK, UNPACK_CONTENTS, WITH_OWNERS, pack, unpack};

use crate::importing;

/// Does what the words of this process say; its exit code.
pub(crate) fn work() -> i32 {
    let line = fs::read("/proc/self/cmdline").unwrap_or_default();
    let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
    let [_, verb, path, options @ ..] = &words[..] else { return 2 };
    let has = |option: &str| options.contains(&option.as_bytes());
    let path = Path::new(OsStr::from_bytes(path));
    if *verb == IMPORT.as_bytes() {
        return importing::work(path, options);
    }
    let mut skipped = Skipped::default();
    let done = match std::str::from_utf8(verb) {
        Ok(PACK) => pack(path, has(FOLLOWED), &mut BufWriter::new(io::stdout().lock()), &mut skipped),
        Ok(UNPACK) => take(path, false, has(WITH_OWNERS)),
        Ok(UNPACK_CONTENTS) => take(path, true, has(WITH_OWNERS)),
        _ => return 2,
    };
    match done {
        Ok(()) => {
            // Who does not listen has gone.
            let _ = io::stderr().write_all(skipped.lines().join("\n").as_bytes());
            0
        }
        Err(error) => {
            let _ = write!(io::stderr(), "{error}");
            1
        }
    }
}

fn take(path: &Path, is_contents: bool, has_owners: bool) -> io::Result<()> {
    // The host has this machine in its hand anyway.
    let to = Destination { path, is_contents, mode_mask: 0o7777, has_owners, is_trusted: true };
    unpack(&to, &mut BufReader::new(io::stdin().lock()))
}
