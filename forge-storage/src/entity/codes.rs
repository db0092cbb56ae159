//! An authorization code's row; the hash stands for the text.

use sea_orm::entity::prelude::*;

use super::Micros;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "forge_code")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub hash: Vec<u8>,
    pub client_id: i64,
    pub user_id: i64,
    pub grants: String,
    pub redirect_uri: Option<String>,
    pub challenge: Option<String>,
    pub expires: Micros,
    pub is_spent: bool,
    /// What it led to.
    pub authorization_id: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
