//! What an image says for whoever says nothing, and how it joins what the file says. The rules are docker's.
//!
//! Deliberately not here: where an image says it (`image`), when it is known (`run`, once a machine is prepared).

use std::collections::BTreeMap;

use super::{Command, GuestPath};
use crate::config::model::Signal;

/// What only a shell gives a meaning to.
const OF_SHELLS: &[char] =
    &['|', '&', ';', '<', '>', '(', ')', '$', '`', '\\', '"', '\'', '*', '?', '[', '#', '~', '%', '{', '!'];

/// User where neither the file nor the image names one.
pub const ROOT: &str = "root";

/// The config of an image, as far as commands see it. Of `host` and `dir:` nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageDefaults {
    /// Environment below the file's.
    pub env: Vec<(String, String)>,
    /// User: `name`, `uid`, `uid:gid`, `name:group`.
    pub user: Option<String>,
    /// Working folder, made where it is missing.
    pub working_dir: Option<String>,
    /// Words before those of a command, for what asks for them.
    pub entrypoint: Vec<String>,
    /// Words of the command where none are given.
    pub cmd: Vec<String>,
    /// Signal that asks its command to end, as the image writes it: `SIGQUIT`, `QUIT` or `3`.
    pub stop_signal: Option<String>,
}

/// Where a command starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkingDir {
    /// Absolute path.
    pub path: String,
    /// Whether it is made where it is missing.
    pub is_made: bool,
}

/// An image that says nothing of what a command needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing to run: no command was given, and the image names neither an entrypoint nor a command")]
pub struct NoCommand;

impl ImageDefaults {
    /// The user: the file's, else the image's, else root.
    pub fn user<'a>(&'a self, own: Option<&'a str>) -> &'a str {
        own.or(self.user.as_deref().filter(|user| !user.is_empty())).unwrap_or(ROOT)
    }

    /// The environment: the image's, the file's above it.
    pub fn env(&self, own: &BTreeMap<String, String>) -> Vec<(String, String)> {
        let below = self.env.iter().filter(|(name, _)| !own.contains_key(name)).cloned();
        below.chain(own.iter().map(|(name, value)| (name.clone(), value.clone()))).collect()
    }

    /// The working folder: the file's, else the image's; `None` is `/`. One that the image writes without a slash is
    /// below `/`, as docker takes it.
    pub fn working_dir(&self, own: Option<&GuestPath>) -> Option<WorkingDir> {
        if let Some(own) = own {
            return Some(WorkingDir { path: own.as_str().to_owned(), is_made: false });
        }
        let path = self.working_dir.as_deref().filter(|path| !path.is_empty())?;
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Some(WorkingDir { path, is_made: true })
    }

    /// The number of the image's stop signal, where it names one that there is.
    pub fn stop_signal_number(&self) -> Option<u8> {
        Signal::parse(self.stop_signal.as_deref()?.trim()).map(|signal| signal.0)
    }

    /// The words of a command that asks for the image's own: its entrypoint, then those given or its command.
    ///
    /// # Errors
    /// Where nothing comes of it.
    pub fn command(&self, given: &[String]) -> Result<Vec<String>, NoCommand> {
        let words = if given.is_empty() { &self.cmd[..] } else { given };
        let words: Vec<String> = self.entrypoint.iter().chain(words).cloned().collect();
        if words.is_empty() { Err(NoCommand) } else { Ok(words) }
    }

    /// What is to be said of a service's command that docker would put behind the image's entrypoint: one that is written as
    /// words, which are a script here.
    pub fn passed_over(&self, command: &Command) -> Option<String> {
        let Command::Script { text, .. } = command else { return None };
        let words: Vec<&str> = text.split_whitespace().collect();
        let is_script = text.trim().contains('\n') || words.first() == Some(&"exec") || text.contains(OF_SHELLS);
        if is_script || words.is_empty() || self.entrypoint.is_empty() {
            return None;
        }
        Some(format!(
            "its command is a text, a script, so that the image's entrypoint `{}` does not run; a list goes behind it: \
             `command: [{}]`",
            self.entrypoint.join(" "),
            words.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn image() -> ImageDefaults {
        ImageDefaults {
            env: vec![("PATH".to_owned(), "/opt/bin".to_owned()), ("A".to_owned(), "image".to_owned())],
            user: Some("app:staff".to_owned()),
            working_dir: Some("srv/app".to_owned()),
            entrypoint: words(&["/entry", "--"]),
            cmd: words(&["serve"]),
            stop_signal: None,
        }
    }

    #[test]
    fn the_file_stands_above_the_image_and_the_image_above_the_usual() {
        assert_eq!((image().user(None), image().user(Some("1000"))), ("app:staff", "1000"));
        let silent = ImageDefaults { user: Some(String::new()), ..ImageDefaults::default() };
        assert_eq!((silent.user(None), silent.working_dir(None)), ("root", None));
        let own = GuestPath::parse("/code").unwrap();
        assert_eq!(image().working_dir(Some(&own)), Some(WorkingDir { path: "/code".to_owned(), is_made: false }));
        assert_eq!(image().working_dir(None), Some(WorkingDir { path: "/srv/app".to_owned(), is_made: true }));
    }

    #[test]
    fn a_variable_of_the_file_replaces_the_images() {
        let own = BTreeMap::from([("A".to_owned(), "file".to_owned()), ("B".to_owned(), String::new())]);
        let env: Vec<String> = image().env(&own).iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(env, ["PATH=/opt/bin", "A=file", "B="]);
    }

    #[test]
    fn the_stop_signal_is_a_name_or_a_number() {
        let number = |text: &str| {
            ImageDefaults { stop_signal: Some(text.to_owned()), ..ImageDefaults::default() }.stop_signal_number()
        };
        assert_eq!(["SIGQUIT", "quit", "3", "", "NONE"].map(number), [Some(3), Some(3), Some(3), None, None]);
        assert_eq!(ImageDefaults::default().stop_signal_number(), None);
    }

    #[test]
    fn a_text_that_docker_would_put_behind_the_entrypoint_is_told() {
        let script = |text: &str| Command::Script { text: text.to_owned(), shell: words(&["sh"]) };
        let told = image().passed_over(&script("postgres -c fsync=off\n")).unwrap();
        assert!(told.ends_with("a list goes behind it: `command: [postgres, -c, fsync=off]`"), "{told}");
        for text in ["exec postgres", "a\nb", "a && b", "echo \"a\"", ""] {
            assert_eq!(image().passed_over(&script(text)), None, "{text}");
        }
        assert_eq!(image().passed_over(&Command::List(words(&["a"]))), None);
        assert_eq!(ImageDefaults::default().passed_over(&script("a")), None);
    }

    #[test]
    fn words_go_behind_the_entrypoint_and_take_the_place_of_the_command() {
        assert_eq!(image().command(&[]).unwrap(), ["/entry", "--", "serve"]);
        assert_eq!(image().command(&words(&["sh"])).unwrap(), ["/entry", "--", "sh"]);
        let bare = ImageDefaults { cmd: words(&["sh"]), ..ImageDefaults::default() };
        assert_eq!(bare.command(&[]).unwrap(), ["sh"]);
        assert_eq!(ImageDefaults::default().command(&[]), Err(NoCommand));
    }
}
