//! The row of what a user has let a client do.

use sea_orm::entity::prelude::*;

use super::Micros;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "forge_authorization")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub user_id: i64,
    /// The client's row number, not its public name.
    pub client_id: i64,
    pub grants: String,
    pub created: Micros,
    pub ended: Option<Micros>,
    /// Whether its user is still to be told that it has ended with its client.
    pub is_untold: bool,
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

impl ActiveModelBehavior for ActiveModel {}
