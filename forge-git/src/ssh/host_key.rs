//! The keys by which clients recognise this server.
//!
//! Invariant: a key that was shown once is on disk for good: it is made, written and synced before anybody sees it, and
//! no two processes that start together make two. A key that others can read is not used.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use forge_core::{Entropy as _, Error, Result, SystemEntropy};
use russh::keys::PrivateKey;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};

/// What an error names.
const FIELD: &str = "ssh_host_key";
/// The largest file read, in bytes.
const MAX_FILE: u64 = 64 << 10;

/// The key in a file; if there is no file, an Ed25519 key is made and put there.
pub(super) fn load(path: &Path) -> Result<PrivateKey> {
    match read(path)? {
        Some(key) => Ok(key),
        None => {
            make(path)?;
            let read = read(path)?;
            read.ok_or_else(|| refused(path, "disappears"))
        }
    }
}

fn read(path: &Path) -> Result<Option<PrivateKey>> {
    let failed = |error: io::Error| refused(path, &format!("cannot be read: {error}"));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    // Of the open file: what the path means may change.
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(refused(path, "is not a file"));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(refused(path, "is open to others; chmod it to 0600"));
    }
    let mut text = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut text).map_err(failed)?;
    let key = PrivateKey::from_openssh(&text)
        .map_err(|_| refused(path, "holds no private key as OpenSSH writes it"))?;
    match key.key_data() {
        KeypairData::Ed25519(_) | KeypairData::Ecdsa(_) | KeypairData::Rsa(_) => Ok(Some(key)),
        KeypairData::Encrypted(_) => Err(refused(path, "has a passphrase")),
        _ => Err(refused(path, "holds a key of a type that cannot be used")),
    }
}

/// Puts a new key there, unless somebody else did in the meantime.
fn make(path: &Path) -> Result<()> {
    let mut seed = [0; 32];
    SystemEntropy.fill(&mut seed)?;
    let pair = Ed25519Keypair::from_seed(&seed);
    let key = PrivateKey::new(KeypairData::Ed25519(pair), "");
    let text = key.and_then(|key| key.to_openssh(LineEnding::LF));
    let text = text.map_err(Error::internal)?;
    let put = || -> io::Result<()> {
        let directory = match path.parent() {
            Some(directory) if directory != Path::new("") => directory,
            _ => Path::new("."),
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        let mut draft = Draft::new(path)?;
        draft.file.write_all(text.as_bytes())?;
        draft.file.sync_all()?;
        // A link, unlike a rename, does not replace the key of a process that was faster.
        match std::fs::hard_link(&draft.path, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        drop(draft);
        File::open(directory)?.sync_all()
    };
    put().map_err(|error| refused(path, &format!("cannot be made: {error}")))
}

/// A file that is removed again, whatever happens.
struct Draft {
    path: PathBuf,
    file: File,
}

impl Draft {
    fn new(beside: &Path) -> io::Result<Self> {
        let mut random = [0; 8];
        SystemEntropy.fill(&mut random).map_err(io::Error::other)?;
        let mut name = beside.as_os_str().to_owned();
        name.push(format!(".{:016x}", u64::from_ne_bytes(random)));
        let path = PathBuf::from(name);
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600);
        let file = file.open(&path)?;
        Ok(Self { path, file })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "a draft of a host key stays");
        }
    }
}

fn refused(path: &Path, why: &str) -> Error {
    Error::invalid(FIELD, format!("{FIELD}: {} {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    fn why(result: Result<PrivateKey>) -> String {
        match result {
            Err(Error::Invalid(all)) if all[0].field == Some(FIELD) => all[0].reason.clone(),
            other => panic!("not refused: {:?}", other.map(|_| "a key")),
        }
    }

    #[test]
    fn a_key_is_made_once_and_only_its_owner_reads_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("ssh/host_key");
        let made = load(&path).expect("made");
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let read = load(&path).expect("read");
        assert_eq!(made.public_key(), read.public_key());
        let files = fs::read_dir(directory.path().join("ssh")).expect("readable");
        assert_eq!(files.count(), 1, "drafts stay");
    }

    #[test]
    fn of_processes_that_start_together_one_makes_the_key() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("host_key");
        let keys: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| load(&path))).collect();
            let keys = threads.into_iter().map(|t| t.join().expect("no panic"));
            keys.map(|key| key.expect("a key")).collect()
        });
        assert!(keys.windows(2).all(|two| two[0] == two[1]));
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("host_key");
        load(&path).expect("made");
        for mode in [0o640, 0o604, 0o660] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).expect("changed");
            assert!(why(load(&path)).contains("chmod"), "{mode:o}");
        }
    }

    #[test]
    fn a_file_that_is_no_key_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("host_key");
        fs::write(&path, "hello").expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("changed");
        assert!(why(load(&path)).contains("no private key"));
        assert_eq!(fs::read(&path).expect("readable"), b"hello");
        assert!(why(load(directory.path())).contains("not a file"));
    }
}
