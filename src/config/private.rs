//! Files that are nobody else's business.
//!
//! Decides who may read them, and that a reader sees the old content or the new, never half of one.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

/// Who may read a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As before: its owner decided so.
    Kept,
    /// Its owner alone: credentials are in it.
    Owner,
}

/// Writes a file in one step; a new one, and folders that are missing, for its owner alone.
pub(crate) fn write(path: &Path, content: &[u8], mode: Mode) -> io::Result<()> {
    // people keep such files elsewhere and link to them
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    make_folder(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    if mode == Mode::Kept
        && let Ok(metadata) = fs::metadata(path)
    {
        file.as_file().set_permissions(metadata.permissions())?;
    }
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(unix)]
fn make_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

#[cfg(not(unix))]
fn make_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}
