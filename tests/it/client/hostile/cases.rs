//! Pushes that git's client would not send, one by one, each against the repository of the fixture.
//!
//! Invariant: what a case makes is its own, so a case that fails leaves no object for another one that must not find it.

mod bad;

use super::quarry::Quarry;
use super::wire::{CAPS, Command, FLUSH, ZERO, commands, pkt};

/// How it should end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::client) enum Fate {
    /// All of it is done.
    Good,
    /// None of it is, and the answer says why.
    Bad,
    /// Git's own server decides.
    Theirs,
}

/// A push.
pub(in crate::client) struct Case {
    pub(in crate::client) name: String,
    pub(in crate::client) body: Vec<u8>,
    pub(in crate::client) fate: Fate,
    /// Whether git's own server is known to answer in another way.
    pub(in crate::client) ours: bool,
}

pub(in crate::client) struct Cases<'a> {
    quarry: &'a Quarry,
    list: Vec<Case>,
}

/// All cases.
pub(in crate::client) fn cases(quarry: &Quarry) -> Vec<Case> {
    let mut cases = Cases {
        quarry,
        list: Vec::new(),
    };
    cases.sound();
    cases.commands();
    cases.holes();
    cases.faults();
    cases.torn();
    cases.names();
    cases.list
}

impl Cases<'_> {
    fn add(&mut self, fate: Fate, name: &str, list: &[Command<'_>], pack: &[u8]) -> &mut Case {
        let body = [commands(list, CAPS), pack.to_vec()].concat();
        self.raw(fate, name, body)
    }

    fn raw(&mut self, fate: Fate, name: &str, body: Vec<u8>) -> &mut Case {
        self.list.push(Case {
            name: name.to_owned(),
            body,
            fate,
            ours: false,
        });
        self.list.last_mut().unwrap()
    }

    /// A new branch of a commit, whose pack holds these objects and the commit.
    fn branch(&mut self, fate: Fate, name: &str, commit: &str, others: &[&str]) -> &mut Case {
        let pack = self.quarry.pack(&[&[commit], others].concat());
        self.add(fate, name, &[(ZERO, commit, b"refs/heads/new")], &pack)
    }

    /// A commit that nothing else has, of the fixture's tree.
    fn fresh(&self, what: &str) -> String {
        let text = Quarry::commit_text(&self.quarry.tree, &[&self.quarry.master]);
        self.quarry
            .object("commit", format!("{text}{what}\n").as_bytes())
    }

    fn sound(&mut self) {
        let quarry = self.quarry;
        let (master, first) = (&*quarry.master, &*quarry.first);
        let empty = quarry.pack(&[]);
        let new = self.fresh("sound");
        self.branch(Fate::Good, "a commit", &new, &[]);
        let blob = quarry.object("blob", b"a new blob");
        let tree = quarry.tree(&[("100644", b"a", &blob)]);
        let commit = quarry.commit(&tree, &[master]);
        self.branch(
            Fate::Good,
            "a commit with all it needs",
            &commit,
            &[&tree, &blob],
        );
        let extra = quarry.object("blob", b"nobody needs it");
        let new = self.fresh("extra");
        self.branch(Fate::Good, "objects that nobody needs", &new, &[&extra]);
        let again = [master, first, &*quarry.tree, &*quarry.blob];
        let new = self.fresh("again");
        self.branch(Fate::Good, "objects that are there", &new, &again);
        let all = quarry.pack_revs(&[], "refs/heads/master\n");
        let list: &[Command<'_>] = &[(ZERO, master, b"refs/heads/new")];
        self.add(Fate::Good, "a name for what is there", list, &empty);
        self.add(Fate::Good, "a name for what is there and sent", list, &all);
        self.add(Fate::Theirs, "a new name without a pack", list, b"");
        let list: &[Command<'_>] = &[(master, ZERO, b"refs/heads/master")];
        self.add(Fate::Good, "a ref deleted", list, b"");
        self.add(Fate::Theirs, "a ref deleted, with a pack", list, &empty);
        let new = self.fresh("both");
        let both: &[Command<'_>] = &[
            (first, ZERO, b"refs/tags/light"),
            (ZERO, &new, b"refs/heads/new"),
        ];
        self.add(
            Fate::Good,
            "one deleted, one made",
            both,
            &quarry.pack(&[&new]),
        );

        let lines = |last: &str| -> String {
            let lines = (0..3_000).map(|at| format!("{at} {}\n", at * 7_919));
            lines.collect::<String>() + last
        };
        for (name, options) in [
            ("thin, deltas by id", &["--thin"][..]),
            ("thin, deltas by place", &["--thin", "--delta-base-offset"]),
        ] {
            let old = quarry.object("blob", lines("").as_bytes());
            let old_tree = quarry.tree(&[("100644", b"a", &old)]);
            let base = quarry.upon(&old_tree);
            let new = quarry.object("blob", lines(name).as_bytes());
            let new_tree = quarry.tree(&[("100644", b"a", &new)]);
            let commit = quarry.commit(&new_tree, &[&base]);
            let thin = quarry.pack_revs(options, &format!("{commit}\n^{base}\n"));
            assert!(thin.len() < 2_000, "no delta");
            let list: &[Command<'_>] = &[(ZERO, &commit, b"refs/heads/new")];
            if self.list.iter().all(|case| case.name != "a base of lines") {
                self.add(Fate::Bad, "a base that is nowhere", list, &thin);
                self.branch(Fate::Good, "a base of lines", &base, &[&old_tree, &old]);
            }
            self.add(Fate::Good, name, list, &thin);
        }
        for (name, old, new) in [
            (
                "a time zone that is none",
                "1600000000 +0000\nc",
                "1600000000 +51800\nc",
            ),
            (
                "no space before a date",
                "org> 1600000000 +0000\nc",
                "org>1600000000 +0000\nc",
            ),
        ] {
            let text = Quarry::commit_text(&quarry.tree, &[master]);
            let text = text.replacen(old, new, 1);
            let commit = quarry.object("commit", text.as_bytes());
            self.branch(Fate::Good, name, &commit, &[]);
        }
        let padded = quarry.tree(&[
            ("100644", b"a", &quarry.blob),
            ("040000", b"d", &quarry.tree),
        ]);
        let commit = quarry.upon(&padded);
        self.branch(
            Fate::Good,
            "a mode with a zero before it",
            &commit,
            &[&padded],
        );
    }

    fn commands(&mut self) {
        let quarry = self.quarry;
        let (master, first) = (&*quarry.master, &*quarry.first);
        let empty = quarry.pack(&[]);
        let new = self.fresh("commands");
        let pack = quarry.pack(&[&new]);
        let none = "00000000000000000000000000000000000000ff";
        let cases: &[(Fate, &str, &[Command<'_>])] = &[
            (
                Fate::Bad,
                "an old value that is stale",
                &[(first, &new, b"refs/heads/master")],
            ),
            (
                Fate::Bad,
                "an old value that never was",
                &[(none, &new, b"refs/heads/master")],
            ),
            (
                Fate::Bad,
                "no old value of what is there",
                &[(ZERO, &new, b"refs/heads/master")],
            ),
            (
                Fate::Bad,
                "an old value of what is not there",
                &[(master, &new, b"refs/heads/no")],
            ),
            (
                Fate::Bad,
                "a stale delete",
                &[(first, ZERO, b"refs/heads/master")],
            ),
            (
                Fate::Bad,
                "what is not there deleted",
                &[(none, ZERO, b"refs/heads/no")],
            ),
            (
                Fate::Theirs,
                "nothing to nothing",
                &[(ZERO, ZERO, b"refs/heads/no")],
            ),
            (
                Fate::Theirs,
                "the same to the same",
                &[(master, master, b"refs/heads/master")],
            ),
            (
                Fate::Bad,
                "a tip that is nowhere",
                &[(ZERO, none, b"refs/heads/no")],
            ),
            (
                Fate::Theirs,
                "one ref twice",
                &[
                    (ZERO, &new, b"refs/heads/new"),
                    (ZERO, master, b"refs/heads/new"),
                ],
            ),
            (
                Fate::Theirs,
                "one ref made and deleted",
                &[
                    (ZERO, &new, b"refs/heads/new"),
                    (&new, ZERO, b"refs/heads/new"),
                ],
            ),
            (
                Fate::Theirs,
                "one good, one stale",
                &[
                    (ZERO, &new, b"refs/heads/new"),
                    (first, &new, b"refs/heads/master"),
                ],
            ),
            (
                Fate::Theirs,
                "one good, one of nothing",
                &[
                    (ZERO, &new, b"refs/heads/new"),
                    (ZERO, none, b"refs/heads/no"),
                ],
            ),
            (
                Fate::Theirs,
                "a blob as a branch",
                &[(ZERO, &quarry.blob, b"refs/heads/blob")],
            ),
            (
                Fate::Theirs,
                "a blob as a tag",
                &[(ZERO, &quarry.blob, b"refs/tags/blob")],
            ),
            (
                Fate::Bad,
                "one below what is there",
                &[(ZERO, &new, b"refs/heads/master/new")],
            ),
            (
                Fate::Bad,
                "one above what is there",
                &[(ZERO, &new, b"refs/heads/feature")],
            ),
        ];
        // An old value that is none is stale, and a second command for a ref is one too many: git's server lets both pass.
        let stricter = ["what is not there deleted", "one ref made and deleted"];
        for (fate, name, list) in cases {
            self.add(*fate, name, list, &pack).ours = stricter.contains(name);
        }
        let list: &[Command<'_>] = &[(ZERO, master, b"refs/heads/new")];
        for (fate, caps) in [
            (Fate::Good, "report-status"),
            (Fate::Good, "report-status-v2 side-band-64k"),
            (Fate::Good, "report-status nonsense=1 =  = \u{1f980} agent="),
            (
                Fate::Good,
                "report-status agent=a\x1b[31mb session-id=x quiet atomic",
            ),
            (Fate::Good, "  report-status  "),
        ] {
            let body = [commands(list, caps), empty.clone()].concat();
            self.raw(fate, &format!("asking for {caps:?}"), body);
        }
        for caps in [
            "report-status object-format=sha256",
            "report-status object-format=md5",
        ] {
            let body = [commands(list, caps), empty.clone()].concat();
            self.raw(Fate::Bad, &format!("asking for {caps:?}"), body)
                .ours = true;
        }
        let long = "1".repeat(64);
        let list: &[Command<'_>] = &[(ZERO, &long, b"refs/heads/new")];
        self.add(Fate::Bad, "an id of another kind", list, &empty)
            .ours = true;

        let lines = [
            pkt(format!("push-cert\0{CAPS}")),
            pkt("certificate version 0.1\n"),
            pkt("pusher Ada <ada@example.org> 1600000000 +0000\n"),
            pkt("\n"),
            pkt(format!("{ZERO} {master} refs/heads/new\n")),
            pkt("-----BEGIN PGP SIGNATURE-----\n"),
            pkt("push-cert-end\n"),
            FLUSH.to_vec(),
            empty.clone(),
        ];
        self.raw(Fate::Bad, "a signed push", lines.concat()).ours = true;

        let new = quarry.commit(&quarry.tree, &["000000000000000000000000000000000000beef"]);
        let line = pkt(format!("shallow {new}"));
        let list: &[Command<'_>] = &[(ZERO, &new, b"refs/heads/new")];
        let body = [line, commands(list, CAPS), quarry.pack(&[&new])].concat();
        self.raw(Fate::Bad, "a history with an edge", body);
    }
}
