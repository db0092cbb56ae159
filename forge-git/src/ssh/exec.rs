//! The command line that a git client sends: which program, for which repository.
//!
//! Invariant: what parses is one of three programs and one repository's name; everything else is refused whole, so no
//! word of a client's ever is an option of a program here. Whether there is such a repository is not known here.

use forge_core::RepoPath;

/// The longest command line read, in bytes.
const MAX_LINE: usize = 4096;
/// The most words that any command has: `git upload-pack path`.
const MAX_WORDS: usize = 3;

/// What a client asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exec {
    pub(super) program: Program,
    /// The names to try, one after the other: as it was written, then without `.git`. None if no repository can be
    /// called so.
    pub(super) names: Vec<RepoPath>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    /// A clone or fetch.
    UploadPack,
    /// A push.
    ReceivePack,
    /// `git archive --remote`.
    UploadArchive,
}

impl Exec {
    /// Reads a command line; `None` for what is none of ours.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        if line.len() > MAX_LINE {
            return None;
        }
        let words = words(std::str::from_utf8(line).ok()?)?;
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let (program, path) = match *words.as_slice() {
            [program, path] => (program.strip_prefix("git-")?, path),
            // What a client sends that was told to `--upload-pack="git upload-pack"`.
            ["git", program, path] => (program, path),
            _ => return None,
        };
        let program = match program {
            "upload-pack" => Program::UploadPack,
            "receive-pack" => Program::ReceivePack,
            "upload-archive" => Program::UploadArchive,
            _ => return None,
        };
        Some(Self {
            program,
            names: names(path),
        })
    }
}

/// `~u/r` from `host:~u/r` and `ssh://host/~u/r` alike (git drops the slash before a tilde), `/~u/r` from other clients.
fn names(path: &str) -> Vec<RepoPath> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    let names = [Some(path), path.strip_suffix(".git")];
    let names = names.into_iter().flatten();
    names.filter_map(|name| name.parse().ok()).collect()
}

/// Splits at spaces. Quotes are those that git writes (`quote.c`, `sq_quote_buf`): `'…'`, with `'\''` and `'\!'` for what
/// may not stand inside.
fn words(line: &str) -> Option<Vec<String>> {
    let mut words: Vec<String> = Vec::new();
    let mut rest = line.chars().peekable();
    loop {
        while rest.next_if_eq(&' ').is_some() {}
        if rest.peek().is_none() {
            return Some(words);
        }
        if words.len() == MAX_WORDS {
            return None;
        }
        let mut word = String::new();
        while let Some(c) = rest.next_if(|c| *c != ' ') {
            match c {
                '\'' => loop {
                    match rest.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                },
                '\\' => word.push(rest.next_if(|c| matches!(c, '\'' | '!'))?),
                c if c.is_ascii_alphanumeric() || matches!(c, '~' | '/' | '.' | '_' | '-') => {
                    word.push(c);
                }
                _ => return None,
            }
        }
        words.push(word);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(line: &str) -> Option<(Program, Vec<String>)> {
        let exec = Exec::parse(line.as_bytes())?;
        Some((
            exec.program,
            exec.names.iter().map(ToString::to_string).collect(),
        ))
    }

    #[test]
    fn three_programs_and_their_two_spellings_are_known() {
        for (line, program) in [
            ("git-upload-pack '~al/r'", Program::UploadPack),
            ("git upload-pack '~al/r'", Program::UploadPack),
            ("git-receive-pack '~al/r'", Program::ReceivePack),
            ("git receive-pack '~al/r'", Program::ReceivePack),
            ("git-upload-archive '~al/r'", Program::UploadArchive),
            ("git upload-archive  ~al/r ", Program::UploadArchive),
        ] {
            assert_eq!(
                parsed(line),
                Some((program, vec!["~al/r".to_owned()])),
                "{line}"
            );
        }
    }

    #[test]
    fn a_path_has_these_forms() {
        for (path, names) in [
            ("~al/r", &["~al/r"] as &[_]),
            ("/~al/r", &["~al/r"]),
            ("~al/r/", &["~al/r"]),
            ("/~al/r.git/", &["~al/r.git", "~al/r"]),
            ("~al/r.git.git", &["~al/r.git.git", "~al/r.git"]),
            ("~al/.git", &[]),
            ("~al/..", &[]),
            ("//~al/r", &[]),
            ("~al/r//", &[]),
            ("~al/r/s", &[]),
            ("~al/../~bo/r", &[]),
            ("al/r", &[]),
            ("~al", &[]),
            ("", &[]),
            ("~al/it's", &[]),
            ("--help", &[]),
        ] {
            let line = format!("git-upload-pack {}", quoted(path));
            let (_, found) = parsed(&line).expect(&line);
            assert_eq!(found, names, "{path}");
        }
    }

    #[test]
    fn quotes_are_read_as_git_writes_them() {
        for (line, expected) in [
            ("'a b'", Some("a b")),
            (r"'it'\''s'", Some("it's")),
            (r"'no'\!'w'", Some("no!w")),
            ("''", Some("")),
            ("'a\nb'", Some("a\nb")),
            ("a'b'c", Some("abc")),
            ("'open", None),
            (r"a\b", None),
            (r"a\", None),
            ("\"a\"", None),
            ("$HOME", None),
            ("a;b", None),
            ("a|b", None),
            ("`a`", None),
            ("a\tb", None),
        ] {
            let expected = expected.map(|word| vec![word.to_owned()]);
            assert_eq!(words(line), expected, "{line}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for line in [
            "",
            " ",
            "git-upload-pack",
            "git-upload-pack '~al/r' '~al/s'",
            "git-upload-pack --strict '~al/r'",
            "git upload-pack --strict '~al/r'",
            "git-upload-pack '~al/r'; id",
            "git-upload-pack '~al/r' && id",
            "git-lfs-authenticate '~al/r' download",
            "git lfs-transfer '~al/r'",
            "git-shell '~al/r'",
            "/usr/bin/git-upload-pack '~al/r'",
            "upload-pack '~al/r'",
            "GIT-UPLOAD-PACK '~al/r'",
            "sh -c id",
        ] {
            assert_eq!(parsed(line), None, "{line}");
        }
        assert_eq!(Exec::parse(b"git-upload-pack '\xff'"), None);
        let long = format!("git-upload-pack '{}'", "x".repeat(MAX_LINE));
        assert_eq!(parsed(&long), None);
    }

    /// As git's `sq_quote_buf` does.
    fn quoted(text: &str) -> String {
        let mut quoted = "'".to_owned();
        for c in text.chars() {
            match c {
                '\'' | '!' => quoted.extend(["'\\", &c.to_string(), "'"]),
                c => quoted.push(c),
            }
        }
        quoted + "'"
    }

    proptest! {
        #[test]
        fn no_line_panics_the_parser(line in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Exec::parse(&line);
            let _ = Exec::parse(&[b"git-upload-pack ", line.as_slice()].concat());
        }

        #[test]
        fn what_git_quotes_is_read_as_it_was(text in any::<String>()) {
            prop_assert_eq!(words(&quoted(&text)), Some(vec![text]));
        }
    }
}
