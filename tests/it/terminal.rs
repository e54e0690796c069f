//! The program on a pseudo terminal: what a person sees, at several sizes, while a run goes on and after it.
//!
//! The bytes that a terminal gets are read by a terminal of ours, whose screen is asked. Most runs here boot no
//! machine: they are held while they wait for a kernel. Deliberately not here: every picture of the block (the tests
//! of `report` draw recorded events).

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};

use crate::running::signal;
use crate::support::machines;
use crate::world::{Who, World, lock};

/// How long a terminal may take to show something.
const LIMIT: Duration = Duration::from_secs(90);

/// A terminal with a program on it.
pub(crate) struct Terminal {
    child: Child,
    pub(crate) controller: File,
    screen: vt100::Parser,
    pub(crate) bytes: Vec<u8>,
    chunks: Receiver<Vec<u8>>,
}

/// What is left on a terminal.
pub(crate) struct Left {
    pub(crate) status: ExitStatus,
    /// Every line, those that were scrolled off the screen too.
    pub(crate) lines: Vec<String>,
    screen: vt100::Parser,
    pub(crate) bytes: String,
}

fn size(count: u16) -> NonZeroU16 {
    NonZeroU16::new(count).unwrap()
}

fn winsize(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

impl Terminal {
    /// Starts a command whose controlling terminal this is.
    pub(crate) fn start(command: &Command, columns: u16, rows: u16) -> Self {
        Self::start_with(command, columns, rows, |_| {})
    }

    /// The same, with streams that lead elsewhere.
    pub(crate) fn start_with(command: &Command, columns: u16, rows: u16, change: impl FnOnce(&mut Command)) -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        tcsetwinsize(&controller, winsize(columns, rows)).unwrap();
        let name = ptsname(&controller, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let user = File::from(rustix::fs::open(name.as_c_str(), flags, Mode::empty()).unwrap());
        let mut started = Command::new("setsid");
        started.arg("--ctty").arg(command.get_program()).args(command.get_args());
        started.current_dir(command.get_current_dir().unwrap()).env_clear().env("TERM", "xterm-256color");
        started.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let stdio = || Stdio::from(user.try_clone().unwrap());
        started.stdin(stdio()).stdout(stdio()).stderr(stdio());
        change(&mut started);
        let child = started.spawn().unwrap();
        drop(started);
        drop(user);
        let controller = File::from(controller);
        let mut reader = controller.try_clone().unwrap();
        let (sender, chunks) = channel();
        thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            // The read fails when nobody has the terminal any more.
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let screen = vt100::Parser::new(size(rows), size(columns), 10_000);
        Self { child, controller, screen, bytes: Vec::new(), chunks }
    }

    /// Whether there was something within this time.
    pub(crate) fn take(&mut self, limit: Duration) -> Result<(), RecvTimeoutError> {
        let chunk = self.chunks.recv_timeout(limit)?;
        self.screen.process(&chunk);
        self.bytes.extend(chunk);
        Ok(())
    }

    /// Waits until the screen is as it should be, between two frames.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, is_it: impl Fn(&vt100::Screen) -> bool) {
        let deadline = Instant::now() + LIMIT;
        loop {
            let text = String::from_utf8_lossy(&self.bytes);
            let is_whole = text.matches("\x1b[?2026h").count() == text.matches("\x1b[?2026l").count();
            if is_whole && is_it(self.screen.screen()) {
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if let Err(error) = self.take(left) {
                panic!("no {what} ({error}):\n{}", self.screen.screen().contents());
            }
        }
    }

    #[track_caller]
    pub(crate) fn until_shown(&mut self, text: &str) {
        self.until(text, |screen| screen.contents().contains(text));
    }

    /// Types this.
    pub(crate) fn write(&mut self, text: &str) {
        self.controller.write_all(text.as_bytes()).unwrap();
    }

    /// Has another size from now on, and tells it.
    pub(crate) fn resize(&mut self, columns: u16, rows: u16) {
        // What was sent for the old size is shown in it.
        while self.take(Duration::ZERO).is_ok() {}
        self.screen.screen_mut().set_size(size(rows), size(columns));
        tcsetwinsize(&self.controller, winsize(columns, rows)).unwrap();
    }

    pub(crate) fn shown(&self) -> String {
        self.screen.screen().contents()
    }

    pub(crate) fn signal(&self, kind: Signal) {
        signal(self.child.id(), kind);
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn end(mut self) -> Left {
        let deadline = Instant::now() + LIMIT;
        let error = loop {
            if let Err(error) = self.take(deadline.saturating_duration_since(Instant::now())) {
                break error;
            }
        };
        assert_eq!(error, RecvTimeoutError::Disconnected, "it did not end:\n{}", self.shown());
        let status = self.child.wait().unwrap();
        let lines = lines(&mut self.screen);
        let screen = std::mem::replace(&mut self.screen, vt100::Parser::new(size(1), size(1), 0));
        Left { status, lines, screen, bytes: String::from_utf8_lossy(&std::mem::take(&mut self.bytes)).into_owned() }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A test that failed leaves no machine running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All rows of a terminal, without those at the end that are empty.
fn lines(screen: &mut vt100::Parser) -> Vec<String> {
    let screen = screen.screen_mut();
    let columns = screen.size().1.get();
    let mut lines = Vec::new();
    for offset in (1..=screen.scrollback_len()).rev() {
        screen.set_scrollback(offset);
        lines.extend(screen.rows(0, columns).next());
    }
    screen.set_scrollback(0);
    lines.extend(screen.rows(0, columns));
    let end = lines.iter().rposition(|line| !line.trim_end().is_empty()).map_or(0, |place| place + 1);
    lines.truncate(end);
    lines.into_iter().map(|line| line.trim_end().to_owned()).collect()
}

impl Left {
    /// No row of a block is left, the cursor can be seen at the start of a line, and nothing of the terminal is changed.
    #[track_caller]
    fn assert_clean(&self) {
        let text = self.lines.join("\n");
        for part in ["waits for", "acme  ", "━", "⠋", "…"] {
            assert!(!text.contains(part), "{part:?} is left:\n{text}");
        }
        let screen = self.screen.screen();
        assert!(!screen.hide_cursor() && !screen.alternate_screen(), "{text}");
        assert_eq!(screen.cursor_position().1, 0, "{text}");
        assert!(self.bytes.rfind("\x1b[?7l") < self.bytes.rfind("\x1b[?7h"), "wrapping is off");
        assert!(self.bytes.rfind("\x1b[?2026h") < self.bytes.rfind("\x1b[?2026l"), "the output is held back");
    }
}

/// A run that is held while it waits for a kernel: five steps on two machines, and what it must not be dropped before.
fn held() -> (World, File) {
    let world = World::without_kernel(Who::Ourselves);
    let steps: String = (1..=5).map(|number| format!("  - {{ id: step-{number}, run: echo }}\n")).collect();
    world.project("", &format!("steps:\n{steps}"));
    world.write("cache/smolvm/kernels/lock", "");
    let held = lock(&world.cache().join("lock")).unwrap();
    (world, held)
}

fn up(world: &World) -> Command {
    world.command(&["up", "--accel", "tcg"])
}

#[test]
fn the_block_fits_every_screen_and_ctrl_c_leaves_none_of_it() {
    thread::scope(|scope| {
        for (columns, rows) in [(80, 24), (40, 10), (20, 5), (200, 50), (10, 3), (1, 1)] {
            scope.spawn(move || {
                let (world, _held) = held();
                let mut terminal = Terminal::start(&up(&world), columns, rows);
                let signs = if columns < 10 { "…" } else { "acme" };
                terminal.until("block", |screen| {
                    let screen = screen.contents();
                    let is_told = columns < 80 || screen.contains("waiting for another smolvm");
                    screen.contains(signs) && (columns < 20 || screen.contains("step")) && is_told
                });
                let screen = terminal.screen.screen();
                let first = screen.rows(0, columns).position(|row| row.starts_with("acme")).unwrap_or(0);
                for row in u16::try_from(first).unwrap()..rows {
                    assert!(!screen.row_wrapped(row), "{columns}x{rows}:\n{}", screen.contents());
                }
                terminal.write("\x03");
                let left = terminal.end();
                assert_eq!(left.status.code(), Some(130), "{columns}x{rows}: {}", left.lines.join("\n"));
                if columns >= 40 {
                    left.assert_clean();
                    let text = left.lines.join(" ");
                    assert!(text.contains("interrupted: 5 skipped in"), "{text}");
                }
                world.assert_no_process_stays();
            });
        }
    });
}

#[test]
fn a_terminal_that_is_resized_shows_one_block_and_nothing_of_the_old_ones() {
    let (world, _held) = held();
    let mut terminal = Terminal::start(&up(&world), 80, 24);
    terminal.until_shown("waiting for another smolvm");
    for (columns, rows) in [(30, 24), (30, 6), (100, 6), (100, 40), (15, 4), (80, 24)] {
        terminal.resize(columns, rows);
        let from = terminal.bytes.len();
        // Two frames: the first may have been on its way when the size changed.
        let deadline = Instant::now() + LIMIT;
        while String::from_utf8_lossy(&terminal.bytes[from..]).matches("\x1b[?2026l").count() < 2 {
            terminal.take(deadline.saturating_duration_since(Instant::now())).unwrap();
        }
        let blocks = lines(&mut terminal.screen).iter().filter(|line| line.starts_with("acme ")).count();
        assert_eq!(blocks, 1, "{columns}x{rows}:\n{}", terminal.shown());
        let high = usize::from(rows);
        assert!(terminal.shown().lines().count() <= high, "{}", terminal.shown());
    }
    terminal.until_shown("waiting for another smolvm");
    terminal.signal(Signal::TERM);
    let left = terminal.end();
    assert_eq!(left.status.code(), Some(143));
    left.assert_clean();
}

/// The program under a shell with job control, which goes on with `then` when the program is stopped.
fn in_a_shell(world: &World, args: &[&str], then: &str) -> Command {
    let command = world.command(args);
    let words: Vec<String> = [command.get_program()]
        .into_iter()
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let mut shell = Command::new("bash");
    shell.args(["-c", &format!("set -m; {}; {then}", words.join(" "))]);
    shell.current_dir(command.get_current_dir().unwrap());
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell
}

#[test]
fn a_run_that_is_suspended_leaves_the_screen_to_the_shell_and_comes_back() {
    let (world, _held) = held();
    let then = "echo \"stopped $?\"; read line; fg >/dev/null";
    let mut terminal = Terminal::start(&in_a_shell(&world, &["up", "--accel", "tcg"], then), 60, 12);
    terminal.until_shown("waiting for another smolvm");
    terminal.write("\x1a");
    terminal.until_shown("stopped 148");
    assert!(!terminal.shown().contains("waits for"), "{}", terminal.shown());
    assert!(!terminal.shown().contains("acme"), "{}", terminal.shown());
    terminal.write("\n");
    terminal.until_shown("waiting for another smolvm");
    terminal.write("\x03");
    let left = terminal.end();
    left.assert_clean();
    assert!(left.lines.join("\n").contains("interrupted: 5 skipped"), "{}", left.lines.join("\n"));
}

#[test]
#[ignore = "slow: make test-all"]
fn a_run_that_was_suspended_for_long_does_not_take_its_guest_for_silent() {
    let Some(_machines) = machines() else { return };
    let world = World::new(Who::Ourselves);
    world.project("", "steps:\n  - { id: long, run: \"echo here; sleep 22; echo still here\" }\n");
    // Without the factor of emulation a guest may be silent for 15 seconds.
    let args = ["up", "--accel", "tcg", "--time-factor", "1"];
    let mut terminal = Terminal::start(&in_a_shell(&world, &args, "sleep 18; fg"), 60, 12);
    terminal.until_shown("│ here");
    terminal.write("\x1a");
    terminal.until_shown("Stopped");
    terminal.until_shown("│ here");
    let left = terminal.end();
    assert!(left.lines.join("\n").contains("✓ long: passed in"), "{}", left.lines.join("\n"));
    world.assert_nothing_stays();
}

#[test]
fn a_run_that_is_killed_leaves_a_terminal_that_can_be_used() {
    let (world, _held) = held();
    let mut terminal = Terminal::start(&up(&world), 80, 24);
    let before = tcgetattr(&terminal.controller).unwrap();
    terminal.until_shown("waiting for another smolvm");
    let during = tcgetattr(&terminal.controller).unwrap();
    assert_eq!(before.local_modes, during.local_modes, "the modes are left alone");
    terminal.signal(Signal::KILL);
    let left = terminal.end();
    assert_eq!(left.status.signal(), Some(9));
    let screen = left.screen.screen();
    assert!(!screen.hide_cursor() && !screen.alternate_screen());
    assert_eq!(screen.fgcolor(), vt100::Color::Default);
}

#[test]
fn a_block_is_drawn_where_a_person_looks_on_and_not_elsewhere() {
    let is_drawn = |args: &[&str], environment: &[(&str, &str)], out: Option<&str>| {
        let (world, _held) = held();
        let mut command = world.command(&[&["up", "--accel", "tcg"], args].concat());
        command.envs(environment.iter().copied());
        let place = out.map(|name| world.place(name));
        let mut terminal = Terminal::start_with(&command, 60, 12, |command| {
            if let Some(place) = &place {
                command.stdout(File::create(place).unwrap());
            }
        });
        let words = "waiting for another smolvm";
        terminal.until_shown(words);
        terminal.write("\x03");
        let left = terminal.end();
        assert_eq!(left.status.code(), Some(130));
        if let Some(place) = place {
            assert_eq!(std::fs::read_to_string(place).unwrap(), "", "all goes to the terminal");
        }
        let is_drawn = left.bytes.contains("\x1b[?2026h");
        assert_eq!(is_drawn, left.bytes.contains("\x1b[J"));
        (is_drawn, left.bytes.contains("\x1b[36m"))
    };
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], Option<&'a str>, (bool, bool));
    let cases: [Case<'_>; 9] = [
        (&[], &[], None, (true, true)),
        (&[], &[("NO_COLOR", "1")], None, (false, false)),
        (&["--color", "never"], &[], None, (false, false)),
        (&[], &[("TERM", "dumb")], None, (false, false)),
        (&[], &[("CI", "true")], None, (false, false)),
        (&["--progress", "plain"], &[], None, (false, false)),
        (&["--progress", "tty"], &[("NO_COLOR", "1"), ("CI", "true")], None, (true, false)),
        (&[], &[], Some("out"), (false, false)),
        (&["--progress", "tty"], &[], Some("out"), (true, true)),
    ];
    thread::scope(|scope| {
        for (args, environment, out, expected) in cases {
            scope.spawn(move || {
                assert_eq!(is_drawn(args, environment, out), expected, "{args:?} {environment:?} {out:?}");
            });
        }
    });
}

#[test]
fn the_download_of_a_kernel_has_a_bar_with_its_bytes() {
    let mut world = World::without_kernel(Who::Ourselves);
    world.project("", "steps:\n  - { id: only, run: echo }\n");
    world.make_folder("bin");
    world.write_program("bin/dpkg-deb", "");
    world.write_program(
        "bin/apt-cache",
        "cat <<'END'\nPackage: linux-image-6.1.0-1-cloud-amd64\nVersion: 1\nDepends: linux-image-6.1.0-1-cloud-amd64\nSize: 4194304\nEND\n",
    );
    // What was downloaded grows by a MiB and then waits, as a network does.
    let download =
        "for word; do [ \"$word\" = download ] || continue; head -c 1572864 /dev/zero > a.deb; sleep 1000; done\n";
    world.write_program("bin/apt-get", download);
    world.look_first_in("bin");
    let mut terminal = Terminal::start(&up(&world), 100, 24);
    terminal.until_shown("1.5 of 4.0MiB");
    let shown = terminal.shown();
    let line = shown.lines().find(|line| line.contains("1.5 of 4.0MiB")).unwrap();
    assert!(line.contains("downloading linux-image-6.1.0-1"), "{shown}");
    assert!(line.contains("━━━━━━━────────────"), "{shown}");
    terminal.write("\x03");
    let left = terminal.end();
    assert_eq!(left.status.code(), Some(130));
    left.assert_clean();
    world.assert_nothing_stays();
}

#[test]
fn a_run_that_fails_ends_with_its_last_lines_and_how_to_go_on() {
    let Some(_machines) = machines() else { return };
    let world = World::new(Who::Ourselves);
    let wide = "for n in $(seq 40); do printf \"$n 漢字🚀\\t%0200d\\n\" 0; done";
    let steps = format!(
        "steps:\n  - {{ id: quick, run: \"echo unseen\" }}\n  - id: wide\n    run: |\n      {wide}\n      \
         printf '\\033[2J\\033]0;title\\007\\033[31mred\\n'\n      read line < /dev/null || sleep 2\n      exit 3\n\
         \x20 - {{ id: never, run: echo }}\n"
    );
    world.project("", &steps);
    let mut terminal = Terminal::start(&up(&world), 60, 16);
    terminal.until_shown("booting");
    terminal.until_shown("40 漢字🚀");
    terminal.until_shown("│ red");
    let screen = terminal.shown();
    assert!(screen.contains("✓ quick: passed in"), "{screen}");
    assert!(screen.contains("waiting for wide"), "{screen}");
    terminal.resize(30, 10);
    terminal.until("smaller", |screen| screen.contents().contains("│ red") && screen.contents().contains("acme"));
    terminal.resize(160, 50);
    let left = terminal.end();
    assert_eq!(left.status.code(), Some(3));
    let text = left.lines.join("\n");
    for part in [
        "✗ wide: failed with exit code 3 in",
        "- never: skipped: it needs `wide`, which did not pass",
        "step `wide` failed with exit code 3\n  its last lines:\n",
        "│ red",
        "  log:   ",
        "  shell: smolvm up -i wide\n  again: smolvm up wide\n",
        "failed: 1 failed, 1 passed, 1 skipped in",
        "; critical path: ",
        "boot ",
        ", wide 2.",
    ] {
        assert!(text.contains(part), "{part:?} is not there:\n{text}");
    }
    assert!(!text.contains("unseen"), "{text}");
    assert!(!left.screen.screen().hide_cursor());
    world.assert_nothing_stays();
}
