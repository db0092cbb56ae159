//! Devices' questions and their answers.
//!
//! Invariant: a question is answered once, and taken by one. Whether a device asks too often is decided elsewhere.

use forge_core::oauth::{Client, Device, DeviceState, NewDevice, SecretHash};
use forge_core::{ClientRow, Error, Result, Timestamp, UserId};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait, DatabaseTransaction, EntityTrait as _,
    QueryFilter as _, QuerySelect as _,
};

use super::clients::client;
use super::{bytes, grants};
use crate::entity::devices::{ActiveModel, Column, Entity, Model};
use crate::entity::{Micros, clients};
use crate::error::{failed, is_taken, refused, unreadable};

const PENDING: &str = "pending";
const DENIED: &str = "denied";
const APPROVED: &str = "approved";

pub(super) async fn by_user_code(
    conn: &impl ConnectionTrait,
    code: &SecretHash,
    now: Timestamp,
) -> Result<Option<(Device, Client)>> {
    let row = Entity::find()
        .filter(Column::UserCodeHash.eq(bytes(code)))
        .filter(Column::State.eq(PENDING))
        .filter(Column::Expires.gt(Micros::from(now)))
        .find_also_related(clients::Entity)
        .one(conn)
        .await
        .map_err(failed)?;
    let Some((found, asker)) = row else {
        return Ok(None);
    };
    let asker = asker.ok_or_else(|| unreadable("device's client"))?;
    Ok(Some((device(&found)?, client(asker)?)))
}

pub(super) async fn insert(
    tx: &DatabaseTransaction,
    device: &SecretHash,
    user_code: &SecretHash,
    new: &NewDevice,
    interval: u32,
) -> Result<()> {
    let row = ActiveModel {
        device_hash: Set(bytes(device)),
        user_code_hash: Set(bytes(user_code)),
        client_id: Set(new.client.0),
        grants: Set(new.grants.stored_text()),
        expires: Set(new.expires.into()),
        interval: Set(interval.into()),
        polled: Set(None),
        state: Set(PENDING.to_owned()),
        user_id: Set(None),
        approved_grants: Set(None),
    };
    let inserted = Entity::insert(row).exec_without_returning(tx).await;
    inserted.map_err(|error| {
        let is_code = is_taken(&error, "forge_device", "user_code_hash");
        refused(error, || {
            if is_code {
                Error::conflict("user_code", "this code is in use")
            } else {
                Error::internal("two devices have the same text")
            }
        })
    })?;
    Ok(())
}

pub(super) async fn answer(
    tx: &DatabaseTransaction,
    user_code: &SecretHash,
    answer: &DeviceState,
    now: Timestamp,
) -> Result<bool> {
    let (state, user, grants) = match answer {
        DeviceState::Approved(user, grants) => (APPROVED, Some(user.0), Some(grants.stored_text())),
        DeviceState::Denied => (DENIED, None, None),
        DeviceState::Pending => return Err(Error::internal("this is no answer")),
    };
    let answered = Entity::update_many()
        .col_expr(Column::State, Expr::value(state))
        .col_expr(Column::UserId, Expr::value(user))
        .col_expr(Column::ApprovedGrants, Expr::value(grants))
        .filter(Column::UserCodeHash.eq(bytes(user_code)))
        .filter(Column::State.eq(PENDING))
        .filter(Column::Expires.gt(Micros::from(now)))
        .exec(tx)
        .await
        .map_err(|error| refused(error, || Error::internal("an answer collides")))?;
    Ok(answered.rows_affected > 0)
}

pub(super) async fn poll(
    tx: &DatabaseTransaction,
    hash: &SecretHash,
    now: Timestamp,
) -> Result<Option<Device>> {
    // Locked: of two who look at once, the second is told of the first one's look.
    let found = Entity::find_by_id(bytes(hash)).lock_exclusive().one(tx);
    let Some(found) = found.await.map_err(failed)? else {
        return Ok(None);
    };
    Entity::update_many()
        .col_expr(Column::Polled, Expr::value(Micros::from(now)))
        .filter(Column::DeviceHash.eq(bytes(hash)))
        .exec(tx)
        .await
        .map_err(failed)?;
    device(&found).map(Some)
}

pub(super) async fn slow(tx: &DatabaseTransaction, hash: &SecretHash, interval: u32) -> Result<()> {
    Entity::update_many()
        .col_expr(Column::Interval, Expr::value(i64::from(interval)))
        .filter(Column::DeviceHash.eq(bytes(hash)))
        .exec(tx)
        .await
        .map_err(failed)?;
    Ok(())
}

pub(super) async fn take(tx: &DatabaseTransaction, hash: &SecretHash) -> Result<bool> {
    let taken = Entity::delete_by_id(bytes(hash)).exec(tx).await;
    Ok(taken.map_err(failed)?.rows_affected > 0)
}

pub(super) async fn purge(tx: &DatabaseTransaction, before: Timestamp) -> Result<()> {
    Entity::delete_many()
        .filter(Column::Expires.lt(Micros::from(before)))
        .exec(tx)
        .await
        .map_err(failed)?;
    Ok(())
}

fn device(row: &Model) -> Result<Device> {
    let state = match (row.state.as_str(), row.user_id, &row.approved_grants) {
        (PENDING, None, None) => DeviceState::Pending,
        (DENIED, None, None) => DeviceState::Denied,
        (APPROVED, Some(user), Some(approved)) => {
            DeviceState::Approved(UserId(user), grants(approved)?)
        }
        _ => return Err(unreadable("answer")),
    };
    Ok(Device {
        asked: NewDevice {
            client: ClientRow(row.client_id),
            grants: grants(&row.grants)?,
            expires: row.expires.time()?,
        },
        polled: row.polled.map(Micros::time).transpose()?,
        interval: u32::try_from(row.interval).map_err(|_| unreadable("interval"))?,
        state,
    })
}
