//! Histories with holes, objects with faults, packs that are torn, names that are none.
//!
//! Invariant: each case is refused for one reason. Whether git's own server refuses it as well is for the oracle.

use super::super::quarry::Quarry;
use super::super::wire::{Command, ZERO};
use super::{Cases, Fate};

/// A tree's entry: its mode, its name, what it is.
type Entry<'a> = (&'a str, &'a [u8], &'a str);

impl Cases<'_> {
    pub(super) fn holes(&mut self) {
        let quarry = self.quarry;
        let master = &*quarry.master;
        let none = "000000000000000000000000000000000000dead";
        let commit = quarry.upon(none);
        self.branch(Fate::Bad, "no tree", &commit, &[]);
        let commit = quarry.commit(&quarry.tree, &[none]);
        self.branch(Fate::Bad, "no parent", &commit, &[]);
        let commit = quarry.commit(&quarry.tree, &[master, none]);
        self.branch(Fate::Bad, "no second parent", &commit, &[]);
        let tree = quarry.tree(&[("100644", b"a", none)]);
        let commit = quarry.upon(&tree);
        self.branch(Fate::Bad, "no blob", &commit, &[&tree]);
        let tree = quarry.tree(&[("40000", b"a", none)]);
        let commit = quarry.upon(&tree);
        self.branch(Fate::Bad, "no tree in a tree", &commit, &[&tree]);
        let commit = quarry.upon(&quarry.blob);
        self.branch(Fate::Bad, "a blob for a tree", &commit, &[]);
        let tree = quarry.tree(&[("40000", b"a", &quarry.blob)]);
        let commit = quarry.upon(&tree);
        self.branch(Fate::Bad, "a blob for a tree in a tree", &commit, &[&tree]);
        let commit = quarry.commit(&quarry.tree, &[&quarry.blob]);
        self.branch(Fate::Bad, "a blob for a parent", &commit, &[]);
        let tag =
            format!("object {none}\ntype commit\ntag t\ntagger Ada <a@b> 1600000000 +0000\n\nt\n");
        let tag = quarry.object("tag", tag.as_bytes());
        let pack = quarry.pack(&[&tag]);
        self.add(
            Fate::Bad,
            "a tag of nothing",
            &[(ZERO, &tag, b"refs/tags/new")],
            &pack,
        );
        let absent = self.fresh("absent");
        let list: &[Command<'_>] = &[(ZERO, &absent, b"refs/heads/new")];
        self.add(
            Fate::Bad,
            "another object than the tip",
            list,
            &quarry.pack(&[&quarry.blob]),
        );
        self.add(
            Fate::Bad,
            "a tip that was not sent",
            list,
            &quarry.pack(&[]),
        );
    }

    pub(super) fn faults(&mut self) {
        let quarry = self.quarry;
        let (master, blob) = (&*quarry.master, &*quarry.blob);
        let link = quarry.object("blob", b"../outside");
        let modules = quarry.object(
            "blob",
            b"[submodule \"a\"]\n\tpath = a\n\turl = --upload-pack=evil\n",
        );
        let name = quarry.object(
            "blob",
            b"[submodule \"../../x\"]\n\tpath = a\n\turl = https://example.org\n",
        );
        let trees: &[(&str, &[Entry<'_>], &[&str])] = &[
            (".git as a file", &[("100644", b".git", blob)], &[]),
            (
                ".git as a directory",
                &[("40000", b".git", &quarry.tree)],
                &[],
            ),
            (".GiT", &[("100644", b".GiT", blob)], &[]),
            ("git~1", &[("100644", b"git~1", blob)], &[]),
            (
                ".git with what cannot be seen",
                &[("100644", ".g\u{200c}it".as_bytes(), blob)],
                &[],
            ),
            ("a dot", &[("100644", b".", blob)], &[]),
            ("two dots", &[("40000", b"..", &quarry.tree)], &[]),
            ("a slash", &[("100644", b"a/b", blob)], &[]),
            ("no name", &[("100644", b"", blob)], &[]),
            (
                "no order",
                &[("100644", b"b", blob), ("100644", b"a", blob)],
                &[],
            ),
            (
                "one name twice",
                &[("100644", b"a", blob), ("100644", b"a", blob)],
                &[],
            ),
            ("nothing named", &[("100644", b"a", ZERO)], &[]),
            (
                ".gitmodules as a link",
                &[("120000", b".gitmodules", &link)],
                &[&link],
            ),
            (
                ".gitmodules with an option",
                &[("100644", b".gitmodules", &modules)],
                &[&modules],
            ),
            (
                ".gitmodules with a way out",
                &[("100644", b".gitmodules", &name)],
                &[&name],
            ),
        ];
        for (what, entries, others) in trees {
            let tree = quarry.tree(entries);
            let commit = quarry.upon(&tree);
            let others = [&[&*tree], *others].concat();
            self.branch(
                Fate::Theirs,
                &format!("a tree with {what}"),
                &commit,
                &others,
            );
        }
        for must in [
            ".git as a file",
            ".GiT",
            ".gitmodules with an option",
            ".gitmodules as a link",
        ] {
            let name = format!("a tree with {must}");
            let case = self.list.iter_mut().find(|case| case.name == name);
            case.unwrap().fate = Fate::Bad;
        }
        let text = Quarry::commit_text(&quarry.tree, &[master]);
        for (fate, what, text) in [
            (
                Fate::Bad,
                "a NUL in its head",
                text.replacen("Ada", "A\0a", 1),
            ),
            (
                Fate::Theirs,
                "a NUL in its text",
                text.replacen("A commit", "A\0commit", 1),
            ),
            (Fate::Bad, "no author", text.replacen("author", "nobody", 1)),
            (
                Fate::Bad,
                "no address",
                text.replacen(" <ada@example.org>", "", 1),
            ),
            (
                Fate::Theirs,
                "a date that is none",
                text.replacen("1600000000", "tomorrow", 1),
            ),
            (
                Fate::Theirs,
                "a date after all time",
                text.replacen("1600000000", "99999999999999999999", 1),
            ),
            (
                Fate::Bad,
                "two trees",
                format!("tree {}\n{text}", quarry.tree),
            ),
            (Fate::Bad, "nothing in it", String::new()),
            (
                Fate::Bad,
                "a tree of a few digits",
                text.replacen(&*quarry.tree, "abcd", 1),
            ),
        ] {
            let commit = quarry.object("commit", text.as_bytes());
            self.branch(fate, &format!("a commit with {what}"), &commit, &[]);
        }
        let bad = quarry.object("tag", b"object nonsense\n");
        let pack = quarry.pack(&[&bad]);
        self.add(
            Fate::Bad,
            "a tag of nonsense",
            &[(ZERO, &bad, b"refs/tags/new")],
            &pack,
        );
    }

    /// Packs that are not whole.
    pub(super) fn torn(&mut self) {
        let new = self.fresh("torn");
        let blob = self.quarry.object("blob", &[7; 5_000]);
        let pack = self.quarry.pack(&[&new, &blob]);
        let list: &[Command<'_>] = &[(ZERO, &new, b"refs/heads/new")];
        let changed = |at: usize, to: u8| {
            let mut pack = pack.clone();
            pack[at] = to;
            pack
        };
        let end = pack.len();
        for (what, torn) in [
            (
                "whose trailer is wrong",
                changed(end - 1, pack[end - 1] ^ 1),
            ),
            ("with a bit flipped", changed(end / 2, pack[end / 2] ^ 16)),
            ("with fewer objects than it says", changed(11, 3)),
            ("with more objects than it says", changed(11, 1)),
            (
                "with more objects than there are in the world",
                changed(8, 255),
            ),
            ("of version 9", changed(7, 9)),
            ("of an object of no kind", changed(12, 0x5f)),
            ("that is called otherwise", changed(0, b'Q')),
            ("that ends in its head", pack[..7].to_vec()),
            ("that ends after its head", pack[..12].to_vec()),
            ("that ends in an object", pack[..20].to_vec()),
            ("that ends before its trailer", pack[..end - 20].to_vec()),
            ("that ends in its trailer", pack[..end - 1].to_vec()),
            ("that is none", Vec::new()),
            ("that is text", b"<html>no</html>".to_vec()),
        ] {
            self.add(Fate::Bad, &format!("a pack {what}"), list, &torn);
        }
    }

    pub(super) fn names(&mut self) {
        let master = self.quarry.master.clone();
        let empty = self.quarry.pack(&[]);
        let long = format!("refs/heads/{}", "a/".repeat(2_040) + "a");
        let part = format!("refs/heads/{}", "a".repeat(300));
        let names: &[&[u8]] = &[
            b"refs/heads/a..b",
            b"refs/heads/a.lock",
            b"refs/heads/a.lock/b",
            b"refs/heads/a@{b",
            b"refs/heads/a b",
            b"refs/heads/a\x01b",
            b"refs/heads/a\x7f",
            b"refs/heads/a\x1b[31mb",
            b"refs/heads/a\nb",
            b"refs/heads/a\tb",
            b"HEAD",
            b"refs/x",
            b"refs/",
            b"refs",
            b"refs/heads/",
            b"heads/x",
            b"master",
            b"/refs/heads/x",
            b"refs/heads//x",
            b"refs/heads/x/",
            b"refs/heads/.x",
            b"refs/heads/x.",
            b"refs/heads/a~b",
            b"refs/heads/a^b",
            b"refs/heads/a:b",
            b"refs/heads/a?b",
            b"refs/heads/a*b",
            b"refs/heads/a[b",
            b"refs/heads/a\\b",
            b"../../x",
            b"config",
            b"objects/x",
            b"refs/heads/../../config",
            b"refs/../config",
            b"refs/heads/a/../../../x",
            b"FETCH_HEAD",
            b"--help",
            b"-x",
            b"refs/forge/x",
            b"refs/forge/x/y",
            b"refs/replace/1111111111111111111111111111111111111111",
            part.as_bytes(),
            long.as_bytes(),
        ];
        for name in names {
            let list: &[Command<'_>] = &[(ZERO, &master, name)];
            let shown = String::from_utf8_lossy(&name[..name.len().min(40)]).into_owned();
            let too_long = name.len() > 1_024;
            self.add(Fate::Bad, &format!("the name {shown:?}"), list, &empty)
                .ours = too_long;
            let list: &[Command<'_>] = &[(&master, ZERO, name)];
            self.add(
                Fate::Theirs,
                &format!("the name {shown:?}, deleted"),
                list,
                b"",
            )
            .ours = too_long;
        }
        let list: &[Command<'_>] = &[(ZERO, &master, b"")];
        self.add(Fate::Bad, "the name of nothing", list, &empty)
            .ours = true;
        for name in [
            &b"refs/heads/-x"[..],
            b"refs/heads/@",
            b"refs/heads/a@b",
            b"refs/heads/Master",
            b"refs/tags/-",
            b"refs/a/b",
        ] {
            let list: &[Command<'_>] = &[(ZERO, &master, name)];
            let shown = String::from_utf8_lossy(name).into_owned();
            self.add(
                Fate::Good,
                &format!("the good name {shown:?}"),
                list,
                &empty,
            );
        }
    }
}
