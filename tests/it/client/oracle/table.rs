//! What is pushed to both.

/// A push.
pub(super) struct Case {
    pub(super) name: &'static str,
    /// What git is told first, in a repository that has what the fixture has; `put FILE TEXT` commits a file.
    pub(super) steps: &'static [&'static [&'static str]],
    /// What `git push` is told.
    pub(super) push: &'static [&'static str],
    /// Whether the reasons are ours to word.
    pub(super) in_other_words: bool,
}

const fn same(
    name: &'static str,
    steps: &'static [&'static [&'static str]],
    push: &'static [&'static str],
) -> Case {
    Case {
        name,
        steps,
        push,
        in_other_words: false,
    }
}

const fn differently_worded(
    name: &'static str,
    steps: &'static [&'static [&'static str]],
    push: &'static [&'static str],
) -> Case {
    Case {
        name,
        steps,
        push,
        in_other_words: true,
    }
}

const NEW: &[&[&str]] = &[&["put", "new/file", "new"]];
/// `HEAD` is beside `refs/heads/master` as the other side has it.
const ASIDE: &[&[&str]] = &[
    &["reset", "-q", "--hard", "HEAD~1"],
    &["put", "new", "aside"],
];

const TAGS: &[&[&str]] = &[
    &["put", "new/file", "new"],
    &["tag", "t-commit"],
    &["tag", "-am", "text", "t-annotated"],
    &["tag", "-am", "text", "t-tag", "t-annotated"],
    &["tag", "-am", "text", "t-tree", "HEAD^{tree}"],
    &["tag", "-am", "text", "t-blob", "HEAD:new/file"],
];

pub(super) const CASES: &[Case] = &[
    same("nothing new", &[], &["there", "master"]),
    same("a new branch", NEW, &["there", "HEAD:refs/heads/new"]),
    same("a fast-forward", NEW, &["there", "master"]),
    same("no fast-forward", ASIDE, &["there", "master"]),
    same(
        "no fast-forward, forced",
        ASIDE,
        &["--force", "there", "master"],
    ),
    same(
        "a lease that holds",
        ASIDE,
        &["--force-with-lease=master:v1^{}", "there", "master"],
    ),
    same(
        "a lease that does not hold",
        ASIDE,
        &["--force-with-lease=master:light", "there", "master"],
    ),
    same(
        "a lease on nothing",
        NEW,
        &["--force-with-lease=new:", "there", "HEAD:refs/heads/new"],
    ),
    same("a branch deleted", &[], &["there", ":feature/x"]),
    same("the current branch deleted", &[], &["there", ":master"]),
    same(
        "everything deleted",
        &[],
        &[
            "--delete",
            "there",
            "master",
            "feature/x",
            "v1",
            "v1-again",
            "light",
            "refs/notes/commits",
        ],
    ),
    same(
        "what is not there deleted",
        &[],
        &["there", ":refs/heads/none"],
    ),
    same(
        "a branch in the place of a directory",
        NEW,
        &["there", ":feature/x", "HEAD:refs/heads/feature"],
    ),
    same(
        "a directory in the place of a branch",
        NEW,
        &["there", ":master", "HEAD:refs/heads/master/new"],
    ),
    differently_worded(
        "a branch where a directory is",
        NEW,
        &["there", "HEAD:refs/heads/feature", "HEAD:refs/heads/ok"],
    ),
    differently_worded(
        "a directory where a branch is",
        NEW,
        &["there", "HEAD:refs/heads/ok", "HEAD:refs/heads/master/no"],
    ),
    differently_worded(
        "one below the other, both new",
        NEW,
        &["there", "HEAD:refs/heads/n", "HEAD:refs/heads/n/m"],
    ),
    differently_worded(
        "a bad one, atomically",
        NEW,
        &[
            "--atomic",
            "there",
            "HEAD:refs/heads/feature",
            "HEAD:refs/heads/ok",
        ],
    ),
    same(
        "good ones, atomically",
        ASIDE,
        &[
            "--atomic",
            "there",
            "+master",
            ":feature/x",
            "HEAD:refs/tags/new",
        ],
    ),
    same(
        "no fast-forward, atomically",
        ASIDE,
        &["--atomic", "there", "master", "HEAD:refs/heads/new"],
    ),
    same("a mirror", ASIDE, &["--mirror", "there"]),
    same(
        "a pruned mirror",
        &[
            &["put", "a", "b"],
            &["branch", "-D", "feature/x"],
            &["tag", "-d", "v1", "light"],
        ],
        &["--mirror", "there"],
    ),
    same(
        "pruned branches",
        &[&["put", "a", "b"], &["branch", "-D", "feature/x"]],
        &["--prune", "there", "refs/heads/*"],
    ),
    same(
        "all branches",
        &[
            &["put", "a", "b"],
            &["branch", "one"],
            &["branch", "two/three"],
        ],
        &["--all", "there"],
    ),
    same("tags of everything", TAGS, &["--tags", "there"]),
    same(
        "light tags of trees and blobs",
        &[
            &["tag", "t-tree", "HEAD:src"],
            &["tag", "t-blob", "HEAD:README.md"],
        ],
        &["--tags", "there"],
    ),
    same(
        "tags that follow",
        &[&["put", "a", "b"], &["tag", "-am", "text", "t"]],
        &["--follow-tags", "there", "master"],
    ),
    same(
        "a tag in the way",
        &[&["tag", "-f", "light", "master"]],
        &["there", "light"],
    ),
    same(
        "a tag moved",
        &[&["tag", "-f", "light", "master"]],
        &["--force", "there", "light"],
    ),
    same("a tag deleted", &[], &["--delete", "there", "v1", "light"]),
    same(
        "a name for what is there",
        &[],
        &["there", "light:refs/heads/old", "v1:refs/tags/v2"],
    ),
    differently_worded(
        "a branch of a blob",
        &[&["tag", "t", "HEAD:README.md"]],
        &["there", "refs/tags/t:refs/heads/blob"],
    ),
    differently_worded(
        "a branch of a tree",
        &[&["tag", "t", "HEAD:src"]],
        &["there", "refs/tags/t:refs/heads/tree"],
    ),
    differently_worded(
        "a branch of a tag",
        &[],
        &["there", "v1:refs/heads/tag", "HEAD:refs/heads/ok"],
    ),
    differently_worded(
        "a branch moved to a blob",
        &[&["tag", "t", "HEAD:README.md"]],
        &["--force", "there", "refs/tags/t:refs/heads/master"],
    ),
    differently_worded(
        "a name of one level",
        NEW,
        &["there", "HEAD:refs/x", "HEAD:refs/heads/ok"],
    ),
    differently_worded(
        "a name that is kept from all",
        NEW,
        &["there", "HEAD:refs/forge/x", "HEAD:refs/heads/ok"],
    ),
    differently_worded(
        "a replacement",
        NEW,
        &[
            "there",
            "HEAD:refs/replace/1111111111111111111111111111111111111111",
            "HEAD:refs/heads/ok",
        ],
    ),
    same(
        "names elsewhere",
        NEW,
        &[
            "there",
            "HEAD:refs/changes/01/1/1",
            "HEAD:refs/pull/1/head",
            "HEAD:refs/meta/config",
        ],
    ),
    same(
        "odd names",
        NEW,
        &[
            "there",
            "HEAD:refs/heads/-x",
            "HEAD:refs/heads/Master",
            "HEAD:refs/heads/a+b=c,d;e&f%41",
            "HEAD:refs/heads/\u{fc}\u{1f980}",
        ],
    ),
    same(
        "heads called as others are",
        NEW,
        &[
            "there",
            "HEAD:refs/heads/heads/x",
            "HEAD:refs/heads/refs/heads/x",
            "HEAD:refs/tags/master",
        ],
    ),
    same(
        "a branch called HEAD",
        NEW,
        &["there", "HEAD:refs/heads/HEAD"],
    ),
    differently_worded(
        "a part that is longer than a file's name",
        NEW,
        &[
            "there",
            "HEAD:refs/heads/ok",
            "HEAD:refs/heads/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ],
    ),
    same(
        "options",
        NEW,
        &["-o", "a", "-o", "k=v", "-o", "", "there", "master"],
    ),
    same(
        "nothing pushed in the end",
        NEW,
        &["--dry-run", "there", "master", ":feature/x"],
    ),
    same("quietly", NEW, &["--quiet", "there", "master"]),
    same(
        "an empty commit, twice the same",
        &[&["commit", "-q", "--allow-empty", "-m", "empty"]],
        &["there", "HEAD:refs/heads/a", "HEAD:refs/heads/b"],
    ),
    same(
        "a submodule",
        &[
            &[
                "update-index",
                "--add",
                "--cacheinfo",
                "160000,2222222222222222222222222222222222222222,sub",
            ],
            &["commit", "-qm", "sub"],
        ],
        &["there", "master"],
    ),
    same(
        "another root",
        &[
            &["checkout", "-q", "--orphan", "root"],
            &["commit", "-qm", "root"],
        ],
        &["there", "root"],
    ),
    same(
        "a shallow history",
        &[
            &["fetch", "-q", "--depth=1", ".", "refs/heads/feature/x"],
            &["put", "s", "t"],
        ],
        &["there", "master"],
    ),
];
