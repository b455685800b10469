//! Where `config.yaml` is when nothing names it.

use directories::{BaseDirs, ProjectDirs};
use std::path::{Path, PathBuf};

const NAME: &str = "image-cloner";

/// The usual place of `config.yaml`, whether it is there or not; none for users without a home.
pub(super) fn usual_place() -> Option<PathBuf> {
    folder(
        std::env::var_os("XDG_CONFIG_HOME")
            .as_deref()
            .map(Path::new),
        BaseDirs::new().as_ref().map(BaseDirs::home_dir),
        || Some(ProjectDirs::from("", "", NAME)?.config_dir().to_owned()),
    )
    .map(|folder| folder.join("config.yaml"))
}

/// `~/.config` comes before the platform's own folder: that is where people who use the command line on
/// a Mac keep such files.
pub(super) fn folder(
    xdg: Option<&Path>,
    home: Option<&Path>,
    platform: impl FnOnce() -> Option<PathBuf>,
) -> Option<PathBuf> {
    // the XDG specification has relative paths ignored
    if let Some(xdg) = xdg.filter(|path| path.is_absolute()) {
        return Some(xdg.join(NAME));
    }
    home.map(|home| home.join(".config").join(NAME))
        .filter(|folder| folder.is_dir())
        .or_else(platform)
}
