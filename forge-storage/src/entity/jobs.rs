//! A queued job's row.

use sea_orm::entity::prelude::*;

use super::Micros;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "forge_job")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub key: Option<String>,
    pub run_at: Micros,
    /// How often it was claimed.
    pub attempt: i64,
    /// Until when it is somebody's.
    pub lease_until: Option<Micros>,
    /// Given up.
    pub dead: bool,
    /// The work, as JSON.
    pub task: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
