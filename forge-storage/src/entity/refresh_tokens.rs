//! A refresh token's row; the hash stands for the text.

use sea_orm::entity::prelude::*;

use super::Micros;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "forge_refresh_token")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub hash: Vec<u8>,
    pub authorization_id: i64,
    pub expires: Micros,
    pub spent: Option<Micros>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    #[sea_orm(
        belongs_to = "super::authorizations::Entity",
        from = "Column::AuthorizationId",
        to = "super::authorizations::Column::Id"
    )]
    Authorization,
}

impl Related<super::authorizations::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Authorization.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
