//! Repositories made by git itself, the same in each run.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs git, and fails the test if git fails.
#[expect(clippy::disallowed_methods, reason = "fixtures are made by git itself")]
pub(crate) fn git(dir: &Path, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("git")
        .args(arguments)
        .current_dir(dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("git");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("git");
    // Git may have had enough before the end of its input.
    let _ = writer.join();
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// Git's answer as text without the last line's end.
pub(crate) fn git_text(dir: &Path, arguments: &[&str]) -> String {
    let output = git(dir, arguments, b"");
    String::from_utf8(output)
        .expect("UTF-8")
        .trim_end()
        .to_owned()
}

/// What ids can be, as git calls it.
pub(crate) const FORMATS: [&str; 2] = ["sha1", "sha256"];

/// A bare repository made of a fast-import stream.
pub(crate) fn import(dir: &Path, name: &str, stream: &[u8]) -> PathBuf {
    import_as("sha1", dir, name, stream)
}

fn import_as(format: &str, dir: &Path, name: &str, stream: &[u8]) -> PathBuf {
    let path = dir.join(name);
    let format = format!("--object-format={format}");
    let init = ["init", "-q", "--bare", "-b", "master", &format, name];
    git(dir, &init, b"");
    git(
        &path,
        &["fast-import", "--quiet", "--date-format=raw-permissive"],
        stream,
    );
    path
}

/// Three commits, a merge, a branch with a slash, tags of every kind, entries of every kind, and two blobs whose ids
/// begin with the same four digits.
pub(crate) fn small(dir: &Path) -> PathBuf {
    let path = dir.join("small.git");
    if path.exists() {
        return path;
    }
    import(dir, "small.git", SMALL)
}

/// The same with ids of a format.
pub(crate) fn small_as(format: &str, dir: &Path) -> PathBuf {
    if format == "sha1" {
        return small(dir);
    }
    let name = format!("small-{format}.git");
    let path = dir.join(&name);
    if path.exists() {
        return path;
    }
    import_as(format, dir, &name, &fitted(SMALL))
}

/// With the submodule's id as long as the others.
fn fitted(stream: &[u8]) -> Vec<u8> {
    let (short, long) = ([b'1'; 40], [b'1'; 64]);
    let at = stream.windows(40).position(|bytes| bytes == short);
    let (before, after) = stream.split_at(at.expect("a submodule"));
    [before, &long, &after[40..]].concat()
}

const SMALL: &[u8] = b"blob
mark :1
data 15
# Hello

Text.

blob
mark :2
data 5
\x00\x01\x02\x03\x04
blob
mark :3
data 21
#!/bin/sh
echo hello

blob
mark :4
data 9
README.md
blob
mark :5
data 4
195
blob
mark :6
data 4
389
commit refs/heads/master
mark :10
author Ada <ada@example.org> 1500000000 +0200
committer Bob <bob@example.org> 1500000100 -0500
data 7
First.

M 100644 :1 README.md
M 100755 :3 bin/run
M 120000 :4 link
M 160000 1111111111111111111111111111111111111111 vendored
M 100644 :1 src/lib/a.txt
M 100644 :2 src/data.bin
M 100644 :5 src/twins/one
M 100644 :6 src/twins/other

commit refs/heads/feature/x
mark :11
author Ada <ada@example.org> 1500001000 +0000
committer Ada <ada@example.org> 1500001000 +0000
data 15
On the branch.

from :10
M 100644 :3 src/extra

commit refs/heads/master
mark :12
author J\xc3\xbcrgen <j@example.org> 1500002000 +0000
committer J\xc3\xbcrgen <j@example.org> 1500002000 +0000
data 22
Merge it.

With body.

from :10
merge :11
M 100644 :3 src/extra

tag v1
mark :20
from :12
tagger Ada <ada@example.org> 1500003000 +0000
data 11
Version 1.

tag v1-again
from :20
tagger Ada <ada@example.org> 1500003100 +0000
data 10
Again it.

reset refs/tags/light
from :10

reset refs/notes/commits
from :10

done
";
