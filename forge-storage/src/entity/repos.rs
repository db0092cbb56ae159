//! A repository's row.

use sea_orm::entity::prelude::*;

use super::Micros;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "forge_repository")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub created: Micros,
    pub updated: Micros,
    pub owner_id: i64,
    pub name: String,
    pub description: Option<String>,
    pub visibility: String,
    /// Up to a megabyte, so it is read only where it is wanted.
    pub readme: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    #[sea_orm(
        belongs_to = "super::users::Entity",
        from = "Column::OwnerId",
        to = "super::users::Column::Id"
    )]
    Owner,
}

impl ActiveModelBehavior for ActiveModel {}
