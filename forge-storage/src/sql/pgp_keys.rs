//! PGP keys.
//!
//! Invariant: a key is one user's. What was read from its text when it was added is stored beside it, so no text is read
//! again; whether it is still in force is not known here.

use async_trait::async_trait;
use forge_core::pgp_keys::{PgpFingerprint, PgpKey, PgpKeyReads, PgpKeyWrites, PublicPgpKey};
use forge_core::{Error, Page, Paged, PgpKeyId, Result, Timestamp, UserId};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait, EntityTrait as _, FromQueryResult,
    JoinType, QueryFilter as _, QuerySelect as _, RelationTrait as _, Select,
};

use super::{owner, page, paged};
use crate::entity::pgp_keys::{ActiveModel, Column, Entity, Relation};
use crate::entity::{Micros, users};
use crate::error::{failed, refused};
use crate::store::{Source, Sql, Table, Transaction};

/// A key with its user's name.
#[derive(FromQueryResult)]
struct Row {
    id: i64,
    user_id: i64,
    user: String,
    fingerprint: Vec<u8>,
    created: Micros,
    expiration: Option<Micros>,
    email: Option<String>,
    text: String,
}

fn rows() -> Select<Entity> {
    Entity::find()
        .column_as(users::Column::Name, "user")
        .join(JoinType::InnerJoin, Relation::User.def())
        .filter(users::Column::Deleted.is_null())
}

async fn one(conn: &impl ConnectionTrait, rows: Select<Entity>) -> Result<Option<PgpKey>> {
    let row = rows.into_model::<Row>().one(conn).await.map_err(failed)?;
    row.map(pgp_key).transpose()
}

fn pgp_key(row: Row) -> Result<PgpKey> {
    Ok(PgpKey {
        id: PgpKeyId(row.id),
        user: owner(row.user_id, &row.user)?,
        authorized: row.created.time()?,
        key: PublicPgpKey {
            text: row.text,
            fingerprint: PgpFingerprint(row.fingerprint),
            email: row.email,
            expiration: row.expiration.map(Micros::time).transpose()?,
        },
    })
}

#[async_trait]
impl<S: Source> PgpKeyReads for Sql<S> {
    async fn pgp_key_by_fingerprint(&self, fingerprint: &PgpFingerprint) -> Result<Option<PgpKey>> {
        let rows = rows().filter(Column::Fingerprint.eq(fingerprint.0.clone()));
        one(self.conn(), rows).await
    }

    async fn pgp_key(&self, user: UserId, id: PgpKeyId) -> Result<Option<PgpKey>> {
        let rows = rows().filter(Column::UserId.eq(user.0));
        one(self.conn(), rows.filter(Column::Id.eq(id.0))).await
    }

    async fn pgp_keys(&self, user: UserId, of: Page) -> Result<Paged<PgpKey>> {
        let rows = rows().filter(Column::UserId.eq(user.0));
        let found = page::<_, Row>(self.conn(), rows, Column::Id, of).await?;
        paged(found, of, pgp_key, |key| key.id.0)
    }
}

#[async_trait]
impl PgpKeyWrites for Sql<Transaction> {
    async fn insert_pgp_key(
        &mut self,
        user: UserId,
        key: &PublicPgpKey,
        now: Timestamp,
    ) -> Result<PgpKey> {
        let tx = self.write(Table::Uncached);
        let row = ActiveModel {
            user_id: Set(user.0),
            fingerprint: Set(key.fingerprint.0.clone()),
            created: Set(now.into()),
            expiration: Set(key.expiration.map(Micros::from)),
            email: Set(key.email.clone()),
            text: Set(key.text.clone()),
            ..ActiveModel::default()
        };
        let inserted = Entity::insert(row).exec(tx).await;
        let inserted = inserted.map_err(|error| {
            refused(error, || {
                Error::conflict("pgp-key", "this key is already registered")
            })
        })?;
        let added = rows().filter(Column::Id.eq(inserted.last_insert_id));
        one(tx, added).await?.ok_or(Error::NotFound)
    }

    async fn delete_pgp_key(&mut self, user: UserId, id: PgpKeyId) -> Result<bool> {
        let deleted = Entity::delete_many()
            .filter(Column::Id.eq(id.0))
            .filter(Column::UserId.eq(user.0))
            .exec(self.write(Table::Uncached))
            .await
            .map_err(failed)?;
        Ok(deleted.rows_affected > 0)
    }
}
