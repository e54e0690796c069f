//! Which places of a guest belong to the system: the tables of 0103 and 0104.

use std::borrow::Cow;

use crate::config::model::GuestPath;

/// What a mount at a place would do to the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It hides what the guest needs (0103); why it needs it.
    Needed(Cow<'static, str>),
    /// It lies where the image keeps its own (0104): what it does, as `lies in a home`.
    Disturbs(String),
    /// It disturbs nothing; whether the place is one that images set apart for others (`/opt`, `/mnt`, …).
    Silent(bool),
}

/// Places that no mount may take.
const NEEDED: [(&str, &str); 22] = [
    ("/", "it would hide the whole image"),
    ("/proc", "the kernel shows processes there"),
    ("/sys", "the kernel shows devices there"),
    ("/dev", "devices are there"),
    ("/run", "sockets and locks of running programs are there"),
    ("/run/smolvm", "smolvm keeps its scripts there"),
    ("/usr", "programs and libraries are there"),
    ("/bin", "programs are there"),
    ("/sbin", "programs are there"),
    ("/lib", "libraries are there"),
    ("/lib32", "libraries are there"),
    ("/lib64", "libraries are there"),
    ("/libx32", "libraries are there"),
    ("/usr/bin", "programs are there"),
    ("/usr/sbin", "programs are there"),
    ("/usr/lib", "libraries are there"),
    ("/usr/lib32", "libraries are there"),
    ("/usr/lib64", "libraries are there"),
    ("/usr/libx32", "libraries are there"),
    ("/etc", "users, groups and settings are there"),
    ("/var", "state of the system's programs is there"),
    ("/var/run", "sockets and locks of running programs are there"),
];

/// Places below which no mount may be.
const CLOSED: [(&str, &str); 4] = [
    ("/proc", "everything below `/proc` is made by the kernel"),
    ("/sys", "everything below `/sys` is made by the kernel"),
    ("/dev", "everything below `/dev` is made by the kernel"),
    ("/run/smolvm", "smolvm keeps its scripts there"),
];

/// Places that images set apart for others: these, and what lies below them.
const SET_APART: [&str; 5] = ["/opt", "/srv", "/mnt", "/media", "/tmp"];

/// Folders of the image below which a mount disturbs.
const SYSTEM: [&str; 11] =
    ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/var", "/boot", "/lost+found"];

/// Judges a mount point.
pub(super) fn judge(path: &GuestPath) -> Verdict {
    let text = path.as_str();
    if let Some((_, why)) = NEEDED.iter().find(|(place, _)| *place == text) {
        return Verdict::Needed((*why).into());
    }
    if let Some((_, why)) = CLOSED.iter().find(|(place, _)| is_below(text, place)) {
        return Verdict::Needed((*why).into());
    }
    if is_below(text, "/run") || SET_APART.iter().any(|place| text == *place || is_below(text, place)) {
        return Verdict::Silent(true);
    }
    if text == "/home" {
        return Verdict::Disturbs("hides the homes of the image".to_owned());
    }
    if text == "/root" {
        return Verdict::Disturbs("hides the home of root".to_owned());
    }
    if is_below(text, "/home") || is_below(text, "/root") {
        return Verdict::Disturbs("lies in a home".to_owned());
    }
    match SYSTEM.iter().find(|place| text == **place || is_below(text, place)) {
        Some(place) if *place == text => Verdict::Disturbs("hides a folder of the system".to_owned()),
        Some(place) => Verdict::Disturbs(format!("lies in `{place}`, a folder of the system")),
        None => Verdict::Silent(false),
    }
}

fn is_below(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge_text(path: &str) -> Verdict {
        judge(&GuestPath::parse(path).expect("an absolute path"))
    }

    #[test]
    fn what_the_guest_needs_is_refused() {
        for path in ["/", "/usr", "/usr/lib64", "/etc", "/proc/x", "/dev/shm", "/run", "/run/smolvm/steps", "/var"] {
            assert!(matches!(judge_text(path), Verdict::Needed(_)), "{path}");
        }
    }

    #[test]
    fn what_the_image_keeps_for_itself_is_warned_of() {
        for path in ["/var/data", "/usr/local/x", "/etc/app", "/home", "/root", "/home/user/code", "/var/tmp/x"] {
            assert!(matches!(judge_text(path), Verdict::Disturbs(_)), "{path}");
        }
    }

    #[test]
    fn what_is_set_apart_for_others_is_silent() {
        for path in ["/opt", "/opt/x", "/srv/www", "/mnt", "/media/a", "/tmp", "/tmp/x", "/run/app"] {
            assert_eq!(judge_text(path), Verdict::Silent(true), "{path}");
        }
        for path in ["/code", "/data", "/workspace", "/output", "/varied", "/homes/x", "/etcetera"] {
            assert_eq!(judge_text(path), Verdict::Silent(false), "{path}");
        }
    }
}
