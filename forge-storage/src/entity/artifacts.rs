//! An artifact's row; the content is elsewhere.

use sea_orm::entity::prelude::*;

use super::Micros;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "forge_artifact")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub repo_id: i64,
    pub created: Micros,
    pub commit: String,
    pub filename: String,
    pub size: i64,
    pub sha256: Vec<u8>,
    pub key: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
