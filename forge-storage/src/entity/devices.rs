//! The row of a device's question; the hashes stand for the codes.

use sea_orm::entity::prelude::*;

use super::Micros;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "forge_device")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub device_hash: Vec<u8>,
    pub user_code_hash: Vec<u8>,
    pub client_id: i64,
    pub grants: String,
    pub expires: Micros,
    /// In seconds.
    pub interval: i64,
    pub polled: Option<Micros>,
    pub state: String,
    /// Who has said yes.
    pub user_id: Option<i64>,
    pub approved_grants: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    #[sea_orm(
        belongs_to = "super::clients::Entity",
        from = "Column::ClientId",
        to = "super::clients::Column::Id"
    )]
    Client,
}

impl Related<super::clients::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Client.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
