//! What each noun reads and writes.
//!
//! Invariant: no query in a loop, and what must be unique is so by constraint, with the violation said as the conflict
//! it is. After a statement has failed nothing more is asked in its transaction, which PostgreSQL would refuse.

mod acls;
mod artifacts;
mod audit;
mod delegation;
mod deletion;
mod events;
mod imports;
mod keys;
mod oauth;
mod pgp_keys;
mod pushes;
mod repos;
mod sessions;
mod users;

use forge_core::repos::Owner;
use forge_core::{Error, Mode, Page, Paged, Result, UserId};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait as _, FromQueryResult, QueryFilter as _,
    QueryOrder as _, QuerySelect as _, Select,
};

use crate::cache::Cache;
use crate::error::{failed, unreadable};
use crate::store::{Source, Sql};

impl<S: Source> Source for Sql<S> {
    type Conn = S::Conn;

    fn conn(&self) -> &S::Conn {
        self.0.conn()
    }

    fn cache(&self) -> Option<&Cache> {
        self.0.cache()
    }
}

/// One page of `rows`, newest first, and how many there are in all.
async fn page<E, R>(
    conn: &impl ConnectionTrait,
    rows: Select<E>,
    id: E::Column,
    page: Page,
) -> Result<(Vec<R>, u64)>
where
    E: EntityTrait,
    R: FromQueryResult,
{
    let total = rows
        .clone()
        .select_only()
        .column_as(id.into_expr().count(), "total")
        .into_tuple::<i64>()
        .one(conn)
        .await
        .map_err(failed)?
        .unwrap_or(0);
    let rows = match page.start {
        Some(start) => rows.filter(id.lte(start)),
        None => rows,
    };
    let found = rows
        .order_by_desc(id)
        // One more tells whether there is a next page. Databases count in signed numbers.
        .limit(Ord::min(page.size.saturating_add(1), i64::MAX as u64))
        .into_model::<R>()
        .all(conn)
        .await
        .map_err(failed)?;
    Ok((found, u64::try_from(total).unwrap_or(0)))
}

/// The page of rows made into nouns.
fn paged<R, T>(
    (rows, total): (Vec<R>, u64),
    page: Page,
    noun: impl Fn(R) -> Result<T>,
    id: impl Fn(&T) -> i64,
) -> Result<Paged<T>> {
    let nouns = rows.into_iter().map(noun).collect::<Result<Vec<_>>>()?;
    Ok(Paged::of(nouns, page, total, id))
}

/// A stored text, parsed. What was valid when it was written is not the caller's fault now.
fn stored<T: std::str::FromStr<Err = Error>>(text: &str, what: &str) -> Result<T> {
    text.parse().map_err(|_| unreadable(what))
}

fn mode_text(mode: Mode) -> &'static str {
    match mode {
        Mode::Read => "ro",
        Mode::Write => "rw",
    }
}

fn mode(text: &str) -> Result<Mode> {
    [Mode::Read, Mode::Write]
        .into_iter()
        .find(|mode| mode_text(*mode) == text)
        .ok_or_else(|| unreadable("mode"))
}

fn owner(id: i64, name: &str) -> Result<Owner> {
    Ok(Owner {
        id: UserId(id),
        name: stored(name, "user name")?,
    })
}

fn hash(bytes: &[u8]) -> Result<[u8; 32]> {
    bytes.try_into().map_err(|_| unreadable("hash"))
}
