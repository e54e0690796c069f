//! From flags, environment and the user's `config.yaml` to one value each: a flag beats `SMOLVM_*`, which beats the file.
//!
//! Deliberately not here: anything about the project.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ValueEnum;
use etcetera::BaseStrategy;

use super::args::{Accel, Color, Engine, GlobalArgs, Progress, RootForm};
use super::exit::{Class, Failure};
use crate::image::registry::RegistrySettings;
use crate::net::nat::Resolvers;
use crate::report::Verbosity as ReportVerbosity;

/// How much we say.
pub(crate) type Volume = ReportVerbosity;

/// What holds for every verb.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Files named, in order; empty where one is to be found.
    pub(crate) files: Vec<PathBuf>,
    /// Name of the project, where one is given.
    pub(crate) project_name: Option<String>,
    /// Folder of a project that comes from standard input.
    pub(crate) project_directory: Option<PathBuf>,
    /// Profiles that are asked for.
    pub(crate) profiles: Vec<String>,
    /// Whether they stand on the command line, so that each must be one of the project's.
    pub(crate) are_profiles_named: bool,
    /// Env files in the place of `.env`.
    pub(crate) env_files: Vec<PathBuf>,
    /// How progress is shown.
    pub(crate) progress: Progress,
    /// When colours are used.
    pub(crate) color: ColorChoice,
    /// How much we say.
    pub(crate) volume: Volume,
    /// What runs machines, unless `up` is told otherwise.
    pub(crate) engine: Engine,
    /// What runs their CPUs, unless `up` is told otherwise.
    pub(crate) accel: Accel,
    /// How the root of an image is given to a machine.
    pub(crate) root_form: RootForm,
    /// Who finds names for machines with a network.
    pub(crate) resolvers: Resolvers,
    /// How many steps may run at the same time, unless `up` is told otherwise.
    pub(crate) parallel: Option<u32>,
    /// What is said of registries.
    pub(crate) registries: RegistrySettings,
    /// Whether no registry may be asked (`SMOLVM_OFFLINE`).
    pub(crate) is_offline: bool,
}

/// Whether colours are used on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColorChoice {
    /// On both streams or on none.
    Fixed(bool),
    /// On terminals.
    Terminals,
}

impl ColorChoice {
    /// The choice for a stream.
    pub(crate) fn is_wanted(self, is_terminal: bool) -> bool {
        match self {
            Self::Fixed(is_wanted) => is_wanted,
            Self::Terminals => is_terminal,
        }
    }
}

/// The user's own defaults.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct UserFile {
    progress: Option<Progress>,
    color: Option<Color>,
    engine: Option<Engine>,
    accel: Option<Accel>,
    registries: RegistrySettings,
    root_form: Option<RootForm>,
    resolvers: Option<String>,
}

/// Why the settings cannot be known.
#[derive(Debug, thiserror::Error)]
enum SettingsError {
    #[error("variable `{name}` is `{value}`, which is none of {known}")]
    Variable { name: &'static str, value: String, known: String },
    #[error(
        "the servers of names are `{value}`, which are not addresses as `10.0.0.1` or `[::1]:5353`, with commas between"
    )]
    Resolvers { value: String },
    #[error("variable `{name}` is `{value}`, which is not a whole number from 1")]
    Number { name: &'static str, value: String },
    #[error("cannot read `{path}`")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("cannot read `{path}`: {message}")]
    Parse { path: PathBuf, message: String },
}

type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

impl Settings {
    /// Resolves all of them.
    pub(crate) fn resolve(flags: GlobalArgs, environment: Environment<'_>) -> Result<Self, Failure> {
        let file = user_file().map_err(|error| Failure::new(Class::File, error))?;
        Self::join(flags, environment, file).map_err(|error| Failure::new(Class::Usage, error))
    }

    fn join(flags: GlobalArgs, environment: Environment<'_>, file: UserFile) -> Result<Self, SettingsError> {
        let progress = flags.progress.or(variable("SMOLVM_PROGRESS", environment)?).or(file.progress);
        let color = flags.color.or(variable("SMOLVM_COLOR", environment)?).or(file.color);
        let engine = variable("SMOLVM_ENGINE", environment)?.or(file.engine);
        let accel = variable("SMOLVM_ACCEL", environment)?.or(file.accel);
        let root_form = variable("SMOLVM_ROOT_FORM", environment)?.or(file.root_form);
        let mut files = flags.files;
        if files.is_empty()
            && let Some(list) = environment("SMOLVM_FILE").filter(|list| !list.is_empty())
        {
            files = std::env::split_paths(&list).collect();
        }
        let are_profiles_named = !flags.profiles.is_empty();
        let mut profiles = flags.profiles;
        if let Some(list) = environment("SMOLVM_PROFILES").filter(|_| !are_profiles_named) {
            profiles = list.to_string_lossy().split(',').map(|name| name.trim().to_owned()).collect();
            profiles.retain(|name| !name.is_empty());
        }
        let name = environment("SMOLVM_PROJECT_NAME").filter(|name| !name.is_empty());
        let volume = match (flags.quiet, flags.verbose) {
            (true, _) => Volume::Quiet,
            (_, true) => Volume::Verbose,
            _ => Volume::Normal,
        };
        Ok(Self {
            files,
            profiles,
            are_profiles_named,
            project_name: flags.project_name.or(name.map(|name| name.to_string_lossy().into_owned())),
            project_directory: flags.project_directory,
            env_files: flags.env_files,
            progress: progress.unwrap_or(Progress::Auto),
            color: color_choice(color.unwrap_or(Color::Auto), environment),
            volume,
            engine: engine.unwrap_or(Engine::Auto),
            accel: accel.unwrap_or(Accel::Auto),
            root_form: root_form.unwrap_or(RootForm::Auto),
            resolvers: resolvers(environment, file.resolvers)?,
            parallel: parallel(environment)?,
            registries: file.registries,
            is_offline: environment("SMOLVM_OFFLINE")
                .is_some_and(|value| !["", "0", "false"].iter().any(|no| value == *no)),
        })
    }
}

fn variable<T: ValueEnum>(name: &'static str, environment: Environment<'_>) -> Result<Option<T>, SettingsError> {
    let Some(value) = environment(name).filter(|value| !value.is_empty()) else { return Ok(None) };
    let value = value.to_string_lossy().into_owned();
    T::from_str(&value, false).map(Some).map_err(|_| {
        let known = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        let known: Vec<String> = known.map(|known| format!("`{}`", known.get_name())).collect();
        SettingsError::Variable { name, value, known: known.join(", ") }
    })
}

/// The servers of names that `SMOLVM_RESOLVERS` says, or the file; else those of this computer.
fn resolvers(environment: Environment<'_>, file: Option<String>) -> Result<Resolvers, SettingsError> {
    let variable = environment("SMOLVM_RESOLVERS").map(|value| value.to_string_lossy().into_owned());
    match variable.filter(|value| !value.is_empty()).or(file) {
        Some(value) => Resolvers::parse(&value).ok_or(SettingsError::Resolvers { value }),
        None => Ok(Resolvers::OfHost),
    }
}

fn parallel(environment: Environment<'_>) -> Result<Option<u32>, SettingsError> {
    let name = "SMOLVM_PARALLEL";
    let Some(value) = environment(name).filter(|value| !value.is_empty()) else { return Ok(None) };
    let value = value.to_string_lossy().into_owned();
    match value.parse::<u32>() {
        Ok(number) if number > 0 => Ok(Some(number)),
        _ => Err(SettingsError::Number { name, value }),
    }
}

/// `NO_COLOR` and `CLICOLOR_FORCE` count where they are set and not empty (`CLICOLOR_FORCE`: nor 0), the first first.
fn color_choice(color: Color, environment: Environment<'_>) -> ColorChoice {
    let is_set = |name: &str| environment(name).is_some_and(|value| !value.is_empty());
    match color {
        Color::Always => ColorChoice::Fixed(true),
        Color::Never => ColorChoice::Fixed(false),
        Color::Auto if is_set("NO_COLOR") => ColorChoice::Fixed(false),
        Color::Auto if is_set("CLICOLOR_FORCE") && environment("CLICOLOR_FORCE").is_some_and(|value| value != "0") => {
            ColorChoice::Fixed(true)
        }
        Color::Auto if environment("TERM").is_some_and(|term| term == "dumb") => ColorChoice::Fixed(false),
        Color::Auto => ColorChoice::Terminals,
    }
}

fn user_file() -> Result<UserFile, SettingsError> {
    // Without a home there are no settings of a user.
    let Ok(folders) = etcetera::base_strategy::Xdg::new() else { return Ok(UserFile::default()) };
    let path = folders.config_dir().join("smolvm/config.yaml");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(UserFile::default());
        }
        Err(source) => return Err(SettingsError::Read { path, source }),
    };
    parse_user_file(&text).map_err(|message| SettingsError::Parse { path, message })
}

fn parse_user_file(text: &str) -> Result<UserFile, String> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(UserFile::default());
    }
    serde_yaml::from_str(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(flags: GlobalArgs, variables: &[(&str, &str)], file: &str) -> Result<Settings, String> {
        let environment = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let file = parse_user_file(file)?;
        Settings::join(flags, &environment, file).map_err(|error| error.to_string())
    }

    #[test]
    fn a_flag_beats_the_environment_which_beats_the_file() {
        let file = "progress: quiet\nengine: qemu\n";
        let flags = GlobalArgs { progress: Some(Progress::Json), ..GlobalArgs::default() };
        let settings = resolve(flags, &[("SMOLVM_PROGRESS", "plain")], file).unwrap();
        assert_eq!((settings.progress, settings.engine), (Progress::Json, Engine::Qemu));
        let settings = resolve(GlobalArgs::default(), &[("SMOLVM_PROGRESS", "plain")], file).unwrap();
        assert_eq!(settings.progress, Progress::Plain);
        let settings = resolve(GlobalArgs::default(), &[], file).unwrap();
        assert_eq!(settings.progress, Progress::Quiet);
        let settings = resolve(GlobalArgs::default(), &[("SMOLVM_UNHEARD_OF", "1")], "# nothing\n").unwrap();
        assert_eq!(settings.progress, Progress::Auto);
    }

    #[test]
    fn a_value_that_is_none_of_the_known_ones_is_named() {
        let error = resolve(GlobalArgs::default(), &[("SMOLVM_ACCEL", "hvf")], "").unwrap_err();
        assert_eq!(error, "variable `SMOLVM_ACCEL` is `hvf`, which is none of `auto`, `kvm`, `tcg`");
    }

    #[test]
    fn an_unknown_key_of_the_users_file_is_an_error() {
        assert!(resolve(GlobalArgs::default(), &[], "colour: always\n").is_err());
    }

    #[test]
    fn colours_follow_the_flag_then_no_color_then_the_terminal() {
        let choice = |flag, variables: &[(&str, &str)]| {
            let flags = GlobalArgs { color: flag, ..GlobalArgs::default() };
            resolve(flags, variables, "").unwrap().color
        };
        assert_eq!(choice(None, &[]), ColorChoice::Terminals);
        assert_eq!(choice(None, &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]), ColorChoice::Fixed(false));
        assert_eq!(choice(None, &[("NO_COLOR", ""), ("CLICOLOR_FORCE", "1")]), ColorChoice::Fixed(true));
        assert_eq!(choice(Some(Color::Always), &[("NO_COLOR", "1")]), ColorChoice::Fixed(true));
    }
}
