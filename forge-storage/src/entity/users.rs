//! A user's row.

use sea_orm::entity::prelude::*;

use super::Micros;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "forge_user")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub created: Micros,
    pub updated: Micros,
    pub name: String,
    pub email: Option<String>,
    pub url: Option<String>,
    pub location: Option<String>,
    pub bio: Option<String>,
    pub suspended: Option<String>,
    /// A fingerprint in hex digits.
    pub pgp_key: Option<String>,
    /// An address that waits to be confirmed, under which code, since when.
    pub parked_email: Option<String>,
    pub parked_code: Option<Vec<u8>>,
    pub parked: Option<Micros>,
    /// From then on there is nothing left but the name.
    pub deleted: Option<Micros>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
