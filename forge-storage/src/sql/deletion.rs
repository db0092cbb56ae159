//! Deleting a user: what is theirs in every table.
//!
//! Invariant: the user's row comes first, locked, so that whoever is adding something of theirs is done before it is
//! removed; then come clients, authorizations, tokens, as everybody else takes them. Repositories are not removed here.

use forge_core::{Error, Result, Timestamp, UserId};
use sea_orm::sea_query::{Expr, IntoCondition, SelectStatement};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition, DatabaseTransaction, EntityTrait,
    IntoActiveModel as _, QueryFilter as _, QuerySelect as _, QueryTrait as _,
};

use crate::entity::{
    Micros, acls, audit, authorizations, clients, codes, devices, passwords, pgp_keys, repos,
    sessions, ssh_keys, tokens, users,
};
use crate::error::failed;

pub(super) async fn delete_user(
    tx: &DatabaseTransaction,
    id: UserId,
    now: Timestamp,
) -> Result<()> {
    let user = users::Entity::find_by_id(id.0)
        .filter(users::Column::Deleted.is_null())
        .lock_exclusive()
        .one(tx)
        .await
        .map_err(failed)?;
    let Some(user) = user else {
        return Ok(());
    };
    keeps_no_repository(tx, id).await?;
    remove_clients(tx, id, now).await?;
    let id = id.0;
    remove::<ssh_keys::Entity>(tx, ssh_keys::Column::UserId.eq(id)).await?;
    remove::<pgp_keys::Entity>(tx, pgp_keys::Column::UserId.eq(id)).await?;
    remove::<sessions::Entity>(tx, sessions::Column::UserId.eq(id)).await?;
    remove::<passwords::Entity>(tx, passwords::Column::UserId.eq(id)).await?;
    remove::<audit::Entity>(tx, audit::Column::UserId.eq(id)).await?;
    remove::<acls::Entity>(tx, acls::Column::UserId.eq(id)).await?;
    // Every column is named, so that one which is added later is thought of here.
    let name = users::Model {
        id,
        created: user.created,
        updated: now.into(),
        name: user.name,
        email: None,
        url: None,
        location: None,
        bio: None,
        suspended: None,
        pgp_key: None,
        parked_email: None,
        parked_code: None,
        parked: None,
        deleted: Some(now.into()),
    };
    let name = users::Entity::update(name.into_active_model().reset_all());
    name.exec(tx).await.map_err(failed)?;
    Ok(())
}

/// One that was made a moment ago would be nobody's.
async fn keeps_no_repository(tx: &DatabaseTransaction, id: UserId) -> Result<()> {
    let kept: Option<i64> = repos::Entity::find()
        .select_only()
        .column(repos::Column::Id)
        .filter(repos::Column::OwnerId.eq(id.0))
        .limit(1)
        .into_tuple()
        .one(tx)
        .await
        .map_err(failed)?;
    match kept {
        Some(_) => Err(Error::conflict("user", "the user has repositories")),
        None => Ok(()),
    }
}

/// The clients that the user has registered, what anybody has let them do, and what the user has let others do.
async fn remove_clients(tx: &DatabaseTransaction, id: UserId, now: Timestamp) -> Result<()> {
    // Written to before anything is removed: who is about to use them has done so then, or finds them ended.
    clients::Entity::update_many()
        .col_expr(clients::Column::Revoked, Expr::value(Micros::from(now)))
        .filter(clients::Column::OwnerId.eq(id.0))
        .exec(tx)
        .await
        .map_err(failed)?;
    authorizations::Entity::update_many()
        .col_expr(
            authorizations::Column::Ended,
            Expr::value(Micros::from(now)),
        )
        .filter(concerned(id))
        .exec(tx)
        .await
        .map_err(failed)?;
    let under = authorizations::Entity::find()
        .select_only()
        .column(authorizations::Column::Id)
        .filter(concerned(id))
        .into_query();
    let theirs = Condition::any()
        .add(tokens::Column::UserId.eq(id.0))
        .add(tokens::Column::AuthorizationId.in_subquery(under));
    remove::<tokens::Entity>(tx, theirs).await?;
    remove::<codes::Entity>(tx, codes::Column::UserId.eq(id.0)).await?;
    remove::<devices::Entity>(tx, devices::Column::UserId.eq(id.0)).await?;
    // Codes, devices and refresh tokens go with these.
    remove::<authorizations::Entity>(tx, concerned(id)).await?;
    remove::<clients::Entity>(tx, clients::Column::OwnerId.eq(id.0)).await
}

fn concerned(id: UserId) -> Condition {
    let owned: SelectStatement = clients::Entity::find()
        .select_only()
        .column(clients::Column::Id)
        .filter(clients::Column::OwnerId.eq(id.0))
        .into_query();
    Condition::any()
        .add(authorizations::Column::UserId.eq(id.0))
        .add(authorizations::Column::ClientId.in_subquery(owned))
}

async fn remove<E: EntityTrait>(tx: &DatabaseTransaction, rows: impl IntoCondition) -> Result<()> {
    let removed = E::delete_many()
        .filter(rows.into_condition())
        .exec(tx)
        .await;
    removed.map_err(failed)?;
    Ok(())
}
