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
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
