//! Repositories: names, redirects, lists.

use super::{
    a_repo, a_user, assert_conflict, assert_not_found, at, changed, found, new_repo, path, refused,
    repo_name,
};
use crate::Page;
use crate::access::Mode;
use crate::clock::Timestamp;
use crate::ids::RepoId;
use crate::repos::{Listing, NewRepo, Owner, RepoChange, RepoOrRedirect, Repository, Visibility};
use crate::store::Store;
use crate::users::User;

pub(super) async fn all(store: &dyn Store) {
    a_repository_is_found_by_its_path(store).await;
    a_name_is_taken_once_for_an_owner(store).await;
    a_change_sets_what_it_names_and_the_time(store).await;
    what_is_gone_cannot_be_changed(store).await;
    an_old_name_leads_to_the_new_one(store).await;
    a_taken_name_cannot_be_taken_by_renaming(store).await;
    a_new_repository_takes_a_name_over_from_a_redirect(store).await;
    a_renamed_repository_takes_a_name_over_from_a_redirect(store).await;
    a_repository_can_have_its_old_name_back(store).await;
    a_repository_is_given_away_and_found_where_it_was(store).await;
    a_taken_name_cannot_be_given_away_to(store).await;
    a_deleted_repository_is_gone_with_its_names(store).await;
    numbers_are_not_used_again(store).await;
    lists_show_what_the_reader_may_know_of(store).await;
    pages_show_each_entry_once(store).await;
    existing_repositories_are_told_from_others(store).await;
    a_repository_is_found_by_its_number(store).await;
    a_touch_sets_the_time_alone(store).await;
    a_readme_is_kept(store).await;
}

async fn renamed(store: &dyn Store, repo: &Repository, name: &str, now: Timestamp) -> Repository {
    let change = RepoChange {
        name: Some(repo_name(name)),
        ..RepoChange::default()
    };
    changed(store, async |tx| {
        tx.update_repo(repo.id, &change, now).await
    })
    .await
}

async fn assert_leads(store: &dyn Store, owner: &User, name: &str, to: Option<&Repository>) {
    let expected = to.map(|repo| {
        if repo.name.as_str() == name {
            RepoOrRedirect::Repository(repo.clone())
        } else {
            RepoOrRedirect::Moved(repo.path())
        }
    });
    assert_eq!(found(store, &path(owner, name)).await, expected, "{name}");
}

async fn a_repository_is_found_by_its_path(store: &dyn Store) {
    let (owner, other) = (a_user(store).await, a_user(store).await);
    let new = NewRepo {
        description: Some("*Words*".to_owned()),
        ..new_repo("x.y_Z-1", Visibility::Unlisted)
    };
    let repo = changed(store, async |tx| {
        tx.insert_repo(owner.id, &new, at(4)).await
    })
    .await;
    let expected = Repository {
        id: repo.id,
        created: at(4),
        updated: at(4),
        owner: Owner {
            id: owner.id,
            name: owner.name.clone(),
        },
        name: new.name.clone(),
        description: new.description.clone(),
        visibility: Visibility::Unlisted,
    };
    assert_eq!(repo, expected);
    assert_leads(store, &owner, "x.y_Z-1", Some(&repo)).await;
    assert_leads(store, &owner, "x.y_z-1", None).await;
    assert_leads(store, &other, "x.y_Z-1", None).await;
    let twin = a_repo(store, &other, "x.y_Z-1").await;
    assert_leads(store, &other, "x.y_Z-1", Some(&twin)).await;
}

async fn a_name_is_taken_once_for_an_owner(store: &dyn Store) {
    let owner = a_user(store).await;
    let first = a_repo(store, &owner, "a").await;
    let new = new_repo("a", Visibility::Private);
    let error = refused(store, async |tx| {
        tx.insert_repo(owner.id, &new, at(1)).await
    })
    .await;
    assert_conflict(&error, "name");
    assert_leads(store, &owner, "a", Some(&first)).await;
}

async fn a_change_sets_what_it_names_and_the_time(store: &dyn Store) {
    let owner = a_user(store).await;
    let bystander = a_repo(store, &owner, "other").await;
    let mut repo = a_repo(store, &owner, "a").await;
    let text = || Some("Words".to_owned());
    let steps = [
        RepoChange {
            description: Some(text()),
            ..RepoChange::default()
        },
        RepoChange {
            visibility: Some(Visibility::Private),
            ..RepoChange::default()
        },
        RepoChange::default(),
        RepoChange {
            name: Some(repo_name("b")),
            ..RepoChange::default()
        },
        RepoChange {
            readme: Some(text()),
            ..RepoChange::default()
        },
        RepoChange {
            description: Some(None),
            ..RepoChange::default()
        },
    ];
    for (change, time) in steps.into_iter().zip(10..) {
        let expected = Repository {
            updated: at(time),
            name: change.name.clone().unwrap_or(repo.name),
            description: change.description.clone().unwrap_or(repo.description),
            visibility: change.visibility.unwrap_or(repo.visibility),
            ..repo
        };
        repo = changed(store, async |tx| {
            tx.update_repo(expected.id, &change, at(time)).await
        })
        .await;
        assert_eq!(repo, expected);
        assert_leads(store, &owner, repo.name.as_str(), Some(&repo)).await;
    }
    assert_leads(store, &owner, "other", Some(&bystander)).await;
}

async fn what_is_gone_cannot_be_changed(store: &dyn Store) {
    let owner = a_user(store).await;
    let repo = a_repo(store, &owner, "a").await;
    assert!(changed(store, async |tx| tx.delete_repo(repo.id).await).await);
    assert!(!changed(store, async |tx| tx.delete_repo(repo.id).await).await);
    for name in [None, Some(repo_name("b"))] {
        let change = RepoChange {
            name,
            ..RepoChange::default()
        };
        let error = refused(store, async |tx| {
            tx.update_repo(repo.id, &change, at(1)).await
        })
        .await;
        assert_not_found(&error);
    }
    assert_leads(store, &owner, "a", None).await;
    assert_leads(store, &owner, "b", None).await;
}

async fn an_old_name_leads_to_the_new_one(store: &dyn Store) {
    let owner = a_user(store).await;
    let repo = a_repo(store, &owner, "a").await;
    let repo = renamed(store, &repo, "b", at(1)).await;
    assert_leads(store, &owner, "a", Some(&repo)).await;
    assert_leads(store, &owner, "b", Some(&repo)).await;
    let repo = renamed(store, &repo, "c", at(2)).await;
    for name in ["a", "b", "c"] {
        assert_leads(store, &owner, name, Some(&repo)).await;
    }
    let repo = renamed(store, &repo, "c", at(3)).await;
    assert_eq!(repo.updated, at(3));
    for name in ["a", "b", "c"] {
        assert_leads(store, &owner, name, Some(&repo)).await;
    }
}

async fn a_taken_name_cannot_be_taken_by_renaming(store: &dyn Store) {
    let owner = a_user(store).await;
    let (a, b) = (
        a_repo(store, &owner, "a").await,
        a_repo(store, &owner, "b").await,
    );
    let change = RepoChange {
        name: Some(repo_name("b")),
        ..RepoChange::default()
    };
    let error = refused(store, async |tx| tx.update_repo(a.id, &change, at(1)).await).await;
    assert_conflict(&error, "name");
    assert_leads(store, &owner, "a", Some(&a)).await;
    assert_leads(store, &owner, "b", Some(&b)).await;
}

async fn a_new_repository_takes_a_name_over_from_a_redirect(store: &dyn Store) {
    let owner = a_user(store).await;
    let old = a_repo(store, &owner, "a").await;
    let old = renamed(store, &old, "b", at(1)).await;
    let new = a_repo(store, &owner, "a").await;
    assert_leads(store, &owner, "a", Some(&new)).await;
    assert_leads(store, &owner, "b", Some(&old)).await;
    // The redirect is gone for good, not hidden.
    changed(store, async |tx| tx.delete_repo(new.id).await).await;
    assert_leads(store, &owner, "a", None).await;
}

async fn a_renamed_repository_takes_a_name_over_from_a_redirect(store: &dyn Store) {
    let owner = a_user(store).await;
    let (x, y) = (
        a_repo(store, &owner, "a").await,
        a_repo(store, &owner, "c").await,
    );
    let x = renamed(store, &x, "b", at(1)).await;
    let y = renamed(store, &y, "a", at(2)).await;
    assert_leads(store, &owner, "a", Some(&y)).await;
    assert_leads(store, &owner, "b", Some(&x)).await;
    assert_leads(store, &owner, "c", Some(&y)).await;
    // A name leads to the one that had it last.
    let y = renamed(store, &y, "d", at(3)).await;
    assert_leads(store, &owner, "a", Some(&y)).await;
    assert_leads(store, &owner, "c", Some(&y)).await;
    // The redirect that was there before is gone for good, not hidden.
    let x = renamed(store, &x, "a", at(4)).await;
    let x = renamed(store, &x, "b", at(5)).await;
    let y = renamed(store, &y, "a", at(6)).await;
    assert_leads(store, &owner, "a", Some(&y)).await;
    changed(store, async |tx| tx.delete_repo(y.id).await).await;
    assert_leads(store, &owner, "a", None).await;
    assert_leads(store, &owner, "b", Some(&x)).await;
}

async fn a_repository_can_have_its_old_name_back(store: &dyn Store) {
    let owner = a_user(store).await;
    let repo = a_repo(store, &owner, "a").await;
    let repo = renamed(store, &repo, "b", at(1)).await;
    let repo = renamed(store, &repo, "a", at(2)).await;
    assert_leads(store, &owner, "a", Some(&repo)).await;
    assert_leads(store, &owner, "b", Some(&repo)).await;
}

async fn a_repository_is_given_away_and_found_where_it_was(store: &dyn Store) {
    let (owner, heir) = (a_user(store).await, a_user(store).await);
    let repo = a_repo(store, &owner, "a").await;
    let repo = renamed(store, &repo, "b", at(1)).await;
    // The heir has a redirect of that name, which ends.
    let other = a_repo(store, &heir, "b").await;
    let other = renamed(store, &other, "other", at(1)).await;
    changed(store, async |tx| {
        tx.put_acl(repo.id, heir.id, Mode::Write, at(1)).await
    })
    .await;
    let name = repo_name("b");
    let given = changed(store, async |tx| {
        tx.give_repo(repo.id, heir.id, &name, at(2)).await
    })
    .await;
    let expected = Repository {
        updated: at(2),
        owner: Owner {
            id: heir.id,
            name: heir.name.clone(),
        },
        ..repo
    };
    assert_eq!(given, expected);
    assert_leads(store, &heir, "b", Some(&given)).await;
    assert_leads(store, &heir, "other", Some(&other)).await;
    for name in ["a", "b"] {
        let led = found(store, &path(&owner, name)).await;
        assert_eq!(led, Some(RepoOrRedirect::Moved(given.path())), "{name}");
    }
    let mode = store.acl_mode(given.id, heir.id).await.expect("a read");
    assert_eq!(mode, None);
    for (user, count) in [(&owner, 0), (&heir, 2)] {
        let page = store.repos_of(user.id, Listing::All, Page::default()).await;
        assert_eq!(page.expect("a list").total, count);
    }
    // The old owner may use the name again.
    let anew = a_repo(store, &owner, "b").await;
    assert_leads(store, &owner, "b", Some(&anew)).await;
}

async fn a_taken_name_cannot_be_given_away_to(store: &dyn Store) {
    let (owner, heir) = (a_user(store).await, a_user(store).await);
    let repo = a_repo(store, &owner, "a").await;
    let other = a_repo(store, &heir, "a").await;
    let name = repo_name("a");
    let error = refused(store, async |tx| {
        tx.give_repo(repo.id, heir.id, &name, at(1)).await
    })
    .await;
    assert_conflict(&error, "name");
    assert_leads(store, &owner, "a", Some(&repo)).await;
    assert_leads(store, &heir, "a", Some(&other)).await;
    changed(store, async |tx| tx.delete_repo(repo.id).await).await;
    let error = refused(store, async |tx| {
        tx.give_repo(repo.id, heir.id, &name, at(1)).await
    })
    .await;
    assert_not_found(&error);
}

async fn a_deleted_repository_is_gone_with_its_names(store: &dyn Store) {
    let (owner, friend) = (a_user(store).await, a_user(store).await);
    let repo = a_repo(store, &owner, "a").await;
    let repo = renamed(store, &repo, "b", at(1)).await;
    let kept = a_repo(store, &owner, "kept").await;
    changed(store, async |tx| {
        tx.put_acl(repo.id, friend.id, Mode::Read, at(1)).await
    })
    .await;
    assert!(changed(store, async |tx| tx.delete_repo(repo.id).await).await);
    assert_leads(store, &owner, "a", None).await;
    assert_leads(store, &owner, "b", None).await;
    assert_leads(store, &owner, "kept", Some(&kept)).await;
    let mode = store.acl_mode(repo.id, friend.id).await.expect("a read");
    assert_eq!(mode, None);
    let acls = store.acls(repo.id, Page::default()).await.expect("a read");
    assert_eq!((acls.results.len(), acls.total), (0, 0));
}

async fn numbers_are_not_used_again(store: &dyn Store) {
    let owner = a_user(store).await;
    let mut numbers = Vec::new();
    for _ in 0..3 {
        let repo = a_repo(store, &owner, "a").await;
        assert!(!numbers.contains(&repo.id), "{} was used before", repo.id);
        numbers.push(repo.id);
        changed(store, async |tx| tx.delete_repo(repo.id).await).await;
    }
}

async fn lists_show_what_the_reader_may_know_of(store: &dyn Store) {
    let (owner, friend, stranger) = (
        a_user(store).await,
        a_user(store).await,
        a_user(store).await,
    );
    for (name, visibility) in [
        ("public", Visibility::Public),
        ("unlisted", Visibility::Unlisted),
        ("private", Visibility::Private),
        ("public-shared", Visibility::Public),
        ("unlisted-shared", Visibility::Unlisted),
        ("private-shared", Visibility::Private),
    ] {
        let new = new_repo(name, visibility);
        let repo = changed(store, async |tx| {
            tx.insert_repo(owner.id, &new, at(0)).await
        })
        .await;
        if name.ends_with("shared") {
            changed(store, async |tx| {
                tx.put_acl(repo.id, friend.id, Mode::Read, at(1)).await
            })
            .await;
        }
    }
    a_repo(store, &stranger, "elsewhere").await;
    let everything = [
        "private-shared",
        "unlisted-shared",
        "public-shared",
        "private",
        "unlisted",
        "public",
    ];
    let shared = [
        "private-shared",
        "unlisted-shared",
        "public-shared",
        "public",
    ];
    let public = ["public-shared", "public"];
    for (listing, expected) in [
        (Listing::All, &everything[..]),
        (Listing::VisibleTo(friend.id), &shared),
        (Listing::VisibleTo(stranger.id), &public),
        (Listing::Public, &public),
    ] {
        let page = store.repos_of(owner.id, listing, Page::default()).await;
        let page = page.expect("a list");
        let names: Vec<_> = page.results.iter().map(|repo| repo.name.as_str()).collect();
        assert_eq!(names, expected, "{listing:?}");
        assert_eq!(page.total, expected.len() as u64, "{listing:?}");
        assert_eq!(page.next, None, "{listing:?}");
    }
}

async fn pages_show_each_entry_once(store: &dyn Store) {
    let owner = a_user(store).await;
    let mut expected = Vec::new();
    for number in 0..7 {
        expected.push(a_repo(store, &owner, &format!("r{number}")).await);
    }
    expected.reverse();
    for size in [1, 2, 3, 6, 7, 8, u64::MAX] {
        let (mut seen, mut start) = (Vec::new(), None);
        loop {
            let page = store
                .repos_of(owner.id, Listing::Public, Page { start, size })
                .await
                .expect("a page");
            assert_eq!(page.total, 7);
            assert!(page.results.len() as u64 <= size);
            seen.extend(page.results);
            start = page.next;
            if start.is_none() {
                break;
            }
        }
        assert_eq!(seen, expected, "in pages of {size}");
    }
    // What is deleted between two pages takes nothing else with it, even where the next page was to begin.
    let size = 3;
    let of = Page { start: None, size };
    let first = store.repos_of(owner.id, Listing::All, of).await;
    let first = first.expect("a page");
    let gone = RepoId(first.next.expect("a second page"));
    changed(store, async |tx| tx.delete_repo(gone).await).await;
    let start = first.next;
    let second = store.repos_of(owner.id, Listing::All, Page { start, size });
    let second = second.await.expect("a page");
    let left: Vec<_> = expected.iter().skip(4).cloned().collect();
    assert_eq!((second.results, second.next, second.total), (left, None, 6));
}

async fn existing_repositories_are_told_from_others(store: &dyn Store) {
    let owner = a_user(store).await;
    let (kept, gone) = (
        a_repo(store, &owner, "a").await,
        a_repo(store, &owner, "b").await,
    );
    changed(store, async |tx| tx.delete_repo(gone.id).await).await;
    let ids = [gone.id, kept.id, RepoId(i64::MAX)];
    let existing = store.existing_repos(&ids).await.expect("a read");
    assert_eq!(existing, [kept.id]);
    let existing = store.existing_repos(&[]).await.expect("a read");
    assert_eq!(existing, []);
}

async fn a_repository_is_found_by_its_number(store: &dyn Store) {
    let owner = a_user(store).await;
    let repo = a_repo(store, &owner, "a").await;
    let read = store.repo(repo.id).await.expect("a read");
    assert_eq!(read, Some(repo.clone()));
    let repo = renamed(store, &repo, "b", at(1)).await;
    let read = store.repo(repo.id).await.expect("a read");
    assert_eq!(read, Some(repo.clone()));
    changed(store, async |tx| tx.delete_repo(repo.id).await).await;
    for id in [repo.id, RepoId(0), RepoId(i64::MAX)] {
        assert_eq!(store.repo(id).await.expect("a read"), None);
    }
}

async fn a_touch_sets_the_time_alone(store: &dyn Store) {
    let owner = a_user(store).await;
    let (repo, bystander) = (
        a_repo(store, &owner, "a").await,
        a_repo(store, &owner, "other").await,
    );
    for time in [at(123_456), at(5)] {
        let expected = Repository {
            updated: time,
            ..repo.clone()
        };
        let touched = changed(store, async |tx| tx.touch_repo(repo.id, time).await).await;
        assert_eq!(touched.as_ref(), Some(&expected));
        for _ in 0..2 {
            assert_leads(store, &owner, "a", Some(&expected)).await;
        }
    }
    assert_leads(store, &owner, "other", Some(&bystander)).await;
    changed(store, async |tx| tx.delete_repo(repo.id).await).await;
    let touched = changed(store, async |tx| tx.touch_repo(repo.id, at(9)).await).await;
    assert_eq!(touched, None);
}

async fn a_readme_is_kept(store: &dyn Store) {
    let owner = a_user(store).await;
    let repo = a_repo(store, &owner, "a").await;
    let large = "<p>é</p>".repeat(100_000);
    for readme in [Some(large), Some(String::new()), None] {
        let change = RepoChange {
            readme: Some(readme.clone()),
            ..RepoChange::default()
        };
        changed(store, async |tx| {
            tx.update_repo(repo.id, &change, at(1)).await
        })
        .await;
        let read = store.readme(repo.id).await.expect("a read");
        assert_eq!(read, readme);
    }
    let read = store.readme(RepoId(i64::MAX)).await.expect("a read");
    assert_eq!(read, None);
}
