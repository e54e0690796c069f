//! The agent's program as a command of its own machine: files to and from standard input and output, for `cp`. It works
//! in images that have no program at all, with the rights of whoever runs it.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use smolvm_agent::{Destination, PACK, UNPACK, UNPACK_CONTENTS, pack, unpack};

/// Does what the words of this process say; its exit code.
pub(crate) fn work() -> i32 {
    let line = fs::read("/proc/self/cmdline").unwrap_or_default();
    let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
    let [_, verb, path, ..] = &words[..] else { return 2 };
    let path = Path::new(OsStr::from_bytes(path));
    let done = match std::str::from_utf8(verb) {
        Ok(PACK) => pack(path, &mut BufWriter::new(io::stdout().lock())),
        Ok(UNPACK) => take(path, false),
        Ok(UNPACK_CONTENTS) => take(path, true),
        _ => return 2,
    };
    match done {
        Ok(()) => 0,
        Err(error) => {
            // Who does not listen has gone.
            let _ = write!(io::stderr(), "{error}");
            1
        }
    }
}

fn take(path: &Path, is_contents: bool) -> io::Result<()> {
    unpack(&Destination { path, is_contents, mode_mask: 0o7777 }, &mut BufReader::new(io::stdin().lock()))
}
