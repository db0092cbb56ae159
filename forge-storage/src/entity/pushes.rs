//! A push's row.

use sea_orm::entity::prelude::*;

use super::Micros;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "forge_push")]
pub struct Model {
    /// In the order of recording.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The UUID's bytes.
    pub push_id: Vec<u8>,
    pub repo_id: i64,
    pub state: String,
    pub recorded: Micros,
    /// The push, as JSON.
    pub data: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
