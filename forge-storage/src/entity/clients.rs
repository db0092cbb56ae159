//! A client's row; the hash stands for the secret.

use sea_orm::entity::prelude::*;

use super::Micros;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "forge_oauth_client")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub client_id: String,
    pub owner_id: i64,
    pub kind: String,
    pub name: String,
    pub description: Option<String>,
    pub url: Option<String>,
    pub redirect_uri: String,
    pub secret: Option<Vec<u8>>,
    pub created: Micros,
    pub revoked: Option<Micros>,
    pub is_first_party: bool,
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
