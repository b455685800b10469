//! Files that are written over on their owners' behalf.
//!
//! Decides who may read them, that a reader sees the old content or the new, never half of one, and that the
//! file stays the same one to others who know it by another name or as its owner.

use std::fs::{self, File, Metadata};
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

/// Writes a file over, in one step wherever it stays the same file by that. Links stay links; mode and owner
/// stay.
pub fn overwrite(path: &Path, content: &[u8]) -> io::Result<()> {
    write(path, content, Mode::Kept)
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
    let mut file = tempfile::Builder::new()
        .prefix(".image-cloner-")
        .tempfile_in(folder)?;
    if let Ok(there) = fs::metadata(path) {
        let alone = file.as_file().metadata()?.permissions();
        if !takes_the_place_of(file.as_file(), &there)? {
            if mode == Mode::Owner {
                fs::set_permissions(path, alone)?;
            }
            return fs::write(path, content);
        }
        if mode == Mode::Kept {
            file.as_file().set_permissions(there.permissions())?;
        }
    }
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Whether a new file can be to others what an old one is to them, who know it by another hard link or as its
/// owner; it is given to that one where we may give it.
#[cfg(unix)]
fn takes_the_place_of(file: &File, there: &Metadata) -> io::Result<bool> {
    use std::os::unix::fs::{MetadataExt as _, fchown};
    let own = file.metadata()?;
    let (uid, gid) = (there.uid(), there.gid());
    let is_owned = || (own.uid(), own.gid()) == (uid, gid);
    Ok(there.nlink() == 1 && (is_owned() || fchown(file, Some(uid), Some(gid)).is_ok()))
}

#[cfg(not(unix))]
fn takes_the_place_of(_: &File, _: &Metadata) -> io::Result<bool> {
    Ok(true)
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

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

    fn file(folder: &Path) -> std::path::PathBuf {
        let path = folder.join("config.json");
        fs::write(&path, "old").unwrap();
        path
    }

    #[test]
    fn another_hard_link_to_the_file_has_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (file(folder.path()), folder.path().join("other"));
        fs::hard_link(&path, &other).unwrap();
        write(&path, b"new", Mode::Owner).unwrap();
        assert_eq!(fs::read_to_string(other).unwrap(), "new");
        assert_eq!(
            fs::metadata(path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn a_file_that_root_writes_stays_its_owners() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path());
        // only root may give a file away
        if chown(&path, Some(1234), Some(4321)).is_err() {
            return;
        }
        write(&path, b"new", Mode::Owner).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (1234, 4321));
        assert_eq!(fs::read_to_string(path).unwrap(), "new");
    }
}
