//! SSH keys.
//!
//! Invariant: a user's key is nobody else's, and a repository has a deploy key once. That no key is both is looked after
//! elsewhere. A key is read back from its line, so a line is whole or an error.

use async_trait::async_trait;
use forge_core::keys::{DeployKey, Fingerprint, KeyReads, KeyWrites, PublicKey, SshKey};
use forge_core::users::User;
use forge_core::{DeployKeyId, Error, KeyId, Mode, Page, Paged, RepoId, Result, Timestamp, UserId};
use sea_orm::sea_query::{Expr, LockType};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait, EntityTrait as _, FromQueryResult,
    JoinType, QueryFilter as _, QuerySelect as _, RelationTrait as _, Select,
};

use super::users::{hold, user};
use super::{mode, mode_text, owner, page, paged};
use crate::entity::ssh_keys::{ActiveModel, Column, Entity, Relation};
use crate::entity::{Micros, deploy_keys, users};
use crate::error::{failed, refused, unreadable};
use crate::store::{Source, Sql, Table, Transaction};

/// A user's key with the user's name.
#[derive(FromQueryResult)]
struct Row {
    id: i64,
    user_id: i64,
    user: String,
    created: Micros,
    last_used: Option<Micros>,
    line: String,
}

fn rows(user: UserId) -> Select<Entity> {
    Entity::find()
        .column_as(users::Column::Name, "user")
        .join(JoinType::InnerJoin, Relation::User.def())
        .filter(Column::UserId.eq(user.0))
}

fn ssh_key(row: &Row) -> Result<SshKey> {
    Ok(SshKey {
        id: KeyId(row.id),
        user: owner(row.user_id, &row.user)?,
        authorized: row.created.time()?,
        last_used: row.last_used.map(Micros::time).transpose()?,
        key: public_key(&row.line)?,
    })
}

fn deploy_key(row: &deploy_keys::Model) -> Result<DeployKey> {
    Ok(DeployKey {
        id: DeployKeyId(row.id),
        repo: RepoId(row.repo_id),
        mode: mode(&row.mode)?,
        created: row.created.time()?,
        last_used: row.last_used.map(Micros::time).transpose()?,
        key: public_key(&row.line)?,
    })
}

fn public_key(line: &str) -> Result<PublicKey> {
    PublicKey::parse(line, "ssh-key").map_err(|_| unreadable("SSH key"))
}

fn bytes(fingerprint: &Fingerprint) -> Vec<u8> {
    fingerprint.0.to_vec()
}

#[async_trait]
impl<S: Source> KeyReads for Sql<S> {
    async fn ssh_key_by_fingerprint(
        &self,
        fingerprint: &Fingerprint,
    ) -> Result<Option<(SshKey, User)>> {
        let row = Entity::find()
            .filter(Column::Fingerprint.eq(bytes(fingerprint)))
            .find_also_related(users::Entity)
            .filter(users::Column::Deleted.is_null())
            .one(self.conn())
            .await
            .map_err(failed)?;
        let Some((found, owner)) = row else {
            return Ok(None);
        };
        let owner = owner.ok_or_else(|| unreadable("key's owner"))?;
        let row = Row {
            id: found.id,
            user_id: found.user_id,
            user: owner.name.clone(),
            created: found.created,
            last_used: found.last_used,
            line: found.line,
        };
        Ok(Some((ssh_key(&row)?, user(owner)?)))
    }

    async fn ssh_key(&self, user: UserId, id: KeyId) -> Result<Option<SshKey>> {
        one(self.conn(), user, id).await
    }

    async fn ssh_keys(&self, user: UserId, of: Page) -> Result<Paged<SshKey>> {
        let found = page::<_, Row>(self.conn(), rows(user), Column::Id, of).await?;
        paged(found, of, |row| ssh_key(&row), |key| key.id.0)
    }

    async fn is_deploy_key(&self, fingerprint: &Fingerprint) -> Result<bool> {
        let row: Option<i64> = deploy_keys::Entity::find()
            .select_only()
            .column(deploy_keys::Column::Id)
            .filter(deploy_keys::Column::Fingerprint.eq(bytes(fingerprint)))
            .limit(1)
            .into_tuple()
            .one(self.conn())
            .await
            .map_err(failed)?;
        Ok(row.is_some())
    }

    async fn deploy_key(
        &self,
        repo: RepoId,
        fingerprint: &Fingerprint,
    ) -> Result<Option<DeployKey>> {
        let row = deploy_keys::Entity::find()
            .filter(deploy_keys::Column::RepoId.eq(repo.0))
            .filter(deploy_keys::Column::Fingerprint.eq(bytes(fingerprint)))
            .one(self.conn())
            .await
            .map_err(failed)?;
        row.as_ref().map(deploy_key).transpose()
    }

    async fn deploy_keys(&self, repo: RepoId, of: Page) -> Result<Paged<DeployKey>> {
        let rows = deploy_keys::Entity::find().filter(deploy_keys::Column::RepoId.eq(repo.0));
        let found = page(self.conn(), rows, deploy_keys::Column::Id, of).await?;
        paged(found, of, |row| deploy_key(&row), |key| key.id.0)
    }
}

async fn one(conn: &impl ConnectionTrait, user: UserId, id: KeyId) -> Result<Option<SshKey>> {
    let row = rows(user).filter(Column::Id.eq(id.0)).into_model::<Row>();
    let row = row.one(conn).await.map_err(failed)?;
    row.as_ref().map(ssh_key).transpose()
}

#[async_trait]
impl KeyWrites for Sql<Transaction> {
    async fn insert_ssh_key(
        &mut self,
        user: UserId,
        key: &PublicKey,
        now: Timestamp,
    ) -> Result<SshKey> {
        let tx = self.write(Table::Uncached);
        hold(tx, user, LockType::Share).await?;
        let row = ActiveModel {
            user_id: Set(user.0),
            fingerprint: Set(bytes(&key.fingerprint())),
            created: Set(now.into()),
            last_used: Set(None),
            line: Set(key.line().to_owned()),
            ..ActiveModel::default()
        };
        let inserted = Entity::insert(row).exec(tx).await;
        let inserted = inserted.map_err(|error| {
            refused(error, || {
                Error::conflict("ssh-key", "this key is already registered")
            })
        })?;
        let added = one(tx, user, KeyId(inserted.last_insert_id)).await?;
        added.ok_or(Error::NotFound)
    }

    async fn touch_ssh_key(&mut self, user: UserId, id: KeyId, now: Timestamp) -> Result<bool> {
        let touched = Entity::update_many()
            .col_expr(Column::LastUsed, Expr::value(Micros::from(now)))
            .filter(Column::Id.eq(id.0))
            .filter(Column::UserId.eq(user.0))
            .exec(self.write(Table::Uncached))
            .await
            .map_err(failed)?;
        Ok(touched.rows_affected > 0)
    }

    async fn delete_ssh_key(&mut self, user: UserId, id: KeyId) -> Result<bool> {
        let deleted = Entity::delete_many()
            .filter(Column::Id.eq(id.0))
            .filter(Column::UserId.eq(user.0))
            .exec(self.write(Table::Uncached))
            .await
            .map_err(failed)?;
        Ok(deleted.rows_affected > 0)
    }

    async fn insert_deploy_key(
        &mut self,
        repo: RepoId,
        key: &PublicKey,
        mode: Mode,
        now: Timestamp,
    ) -> Result<DeployKey> {
        let row = deploy_keys::ActiveModel {
            repo_id: Set(repo.0),
            fingerprint: Set(bytes(&key.fingerprint())),
            mode: Set(mode_text(mode).to_owned()),
            created: Set(now.into()),
            last_used: Set(None),
            line: Set(key.line().to_owned()),
            ..deploy_keys::ActiveModel::default()
        };
        let row = deploy_keys::Entity::insert(row)
            .exec_with_returning(self.write(Table::Uncached))
            .await;
        deploy_key(&row.map_err(|error| {
            refused(error, || {
                Error::conflict("key", "the repository has this key already")
            })
        })?)
    }

    async fn touch_deploy_key(
        &mut self,
        repo: RepoId,
        id: DeployKeyId,
        now: Timestamp,
    ) -> Result<bool> {
        let touched = deploy_keys::Entity::update_many()
            .col_expr(
                deploy_keys::Column::LastUsed,
                Expr::value(Micros::from(now)),
            )
            .filter(deploy_keys::Column::Id.eq(id.0))
            .filter(deploy_keys::Column::RepoId.eq(repo.0))
            .exec(self.write(Table::Uncached))
            .await
            .map_err(failed)?;
        Ok(touched.rows_affected > 0)
    }

    async fn delete_deploy_key(&mut self, repo: RepoId, id: DeployKeyId) -> Result<bool> {
        let deleted = deploy_keys::Entity::delete_many()
            .filter(deploy_keys::Column::Id.eq(id.0))
            .filter(deploy_keys::Column::RepoId.eq(repo.0))
            .exec(self.write(Table::Uncached))
            .await
            .map_err(failed)?;
        Ok(deleted.rows_affected > 0)
    }
}
