//! What an image says of commands, in the words of the plan.

use crate::image::ImageConfig;
use crate::plan::ImageDefaults;

impl From<ImageConfig> for ImageDefaults {
    fn from(config: ImageConfig) -> Self {
        Self {
            env: config.env,
            user: config.user,
            working_dir: config.working_dir,
            entrypoint: config.entrypoint,
            cmd: config.cmd,
            stop_signal: config.stop_signal,
        }
    }
}
