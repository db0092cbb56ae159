//! The end of an account.

use forge::repos::{NewRepo, Visibility};
use forge::{RepoPath, UserName};
use http::Method;

use crate::support::{Database, Persona, World};

fn user(name: &str) -> UserName {
    name.parse().unwrap()
}

fn path(text: &str) -> RepoPath {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_deleted_account_is_closed_at_once_and_gone_soon() {
    for database in Database::all() {
        let world = World::new(database).await;
        let account = world.owner().await.account().unwrap();
        let refused = account.delete().await;
        assert!(matches!(refused, Err(forge::Error::Forbidden { .. })));
        let account = world.signed_in("alice").await.account().unwrap();
        account.delete().await.unwrap();
        let closed = world.get(Persona::Owner, "/api/user").await;
        assert_eq!(closed.status, 403);
        assert!(closed.text().contains("this account is being deleted"));
        world.settle().await;
        assert_eq!(world.get(Persona::Owner, "/api/user").await.status, 401);
        for name in ["open", "hidden", "secret"] {
            let old = path(&format!("~alice/{name}"));
            let repo = world.system().find_repo(&old).await.unwrap();
            assert_eq!(repo, None, "{name}");
        }
        let path = "/api/user/~alice";
        assert_eq!(world.get(Persona::Stranger, path).await.status, 404);
        // The name is nobody's from now on.
        let new = forge::users::NewUser {
            name: user("alice"),
            email: None,
        };
        assert!(world.system().ensure_user(&new).await.is_err());
        let again = world.system().delete_user(&user("alice"), None).await;
        assert!(matches!(again, Err(forge::Error::NotFound)));
        world.end().await;
    }
}

#[tokio::test]
async fn an_heir_gets_the_repositories_under_names_that_are_free() {
    for database in Database::all() {
        let world = World::new(database).await;
        let token = world.token_of(Persona::Reader).unwrap();
        let reader = world.forge().authenticate(forge::Credentials::Token(token));
        let reader = reader.await.unwrap().account().unwrap();
        let new = NewRepo {
            name: "open".parse().unwrap(),
            description: None,
            visibility: Visibility::Private,
        };
        let _made = reader.create_repo(&new).await.unwrap();
        let of = |name: &str| path(&format!("~alice/{name}"));
        let before = world
            .system()
            .find_repo(&of("secret"))
            .await
            .unwrap()
            .unwrap();

        let heir = user("reader");
        world
            .system()
            .delete_user(&user("alice"), Some(&heir))
            .await
            .unwrap();
        world.settle().await;
        for (name, now) in [
            ("open", "open-2"),
            ("hidden", "hidden"),
            ("secret", "secret"),
        ] {
            let now = format!("/api/~reader/repos/{now}");
            assert_eq!(world.get(Persona::Reader, &now).await.status, 200, "{now}");
            let blob = format!("{now}/blob/master/README.md");
            assert_eq!(world.get(Persona::Reader, &blob).await.status, 200, "{now}");
            // Who had access keeps it.
            assert_eq!(world.get(Persona::Writer, &now).await.status, 200, "{now}");
            let old = format!("/~alice/{name}/info/refs?service=git-upload-pack");
            let moved = world.get(Persona::Reader, &old).await;
            assert!(moved.status.is_redirection(), "{name}: {}", moved.status);
        }
        let after = path("~reader/secret");
        let after = world.system().find_repo(&after).await.unwrap().unwrap();
        assert_eq!(after.id, before.id);
        let private = "/api/~reader/repos/secret";
        assert_eq!(world.get(Persona::Stranger, private).await.status, 404);
        world.end().await;
    }
}

#[tokio::test]
async fn a_user_is_no_heir_of_their_own_and_nobody_is_none() {
    let world = World::new(Database::Sqlite).await;
    for heir in ["alice", "nobody"] {
        let refused = world
            .system()
            .delete_user(&user("alice"), Some(&user(heir)))
            .await;
        assert!(matches!(refused, Err(forge::Error::Invalid(_))), "{heir}");
    }
    let path = "/api/user";
    let answer = world.request(Persona::Owner, Method::GET, path, &[], "");
    assert_eq!(answer.await.status, 200);
    world.end().await;
}
