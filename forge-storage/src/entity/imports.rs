//! An import's row.

use sea_orm::entity::prelude::*;

use super::Micros;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "forge_import")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub repo_id: i64,
    pub source: String,
    /// A repository that may be gone by now.
    pub from_repo: Option<i64>,
    pub state: String,
    /// Why it has failed.
    pub reason: Option<String>,
    pub progress: String,
    /// How often fetching was begun.
    pub attempts: i64,
    pub started: Micros,
    pub updated: Micros,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
