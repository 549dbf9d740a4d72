use uuid::Uuid; use crate::store::{Store, StoreError};
#[derive(Clone, Debug, PartialEq, Eq)] pub(crate) enum Scope { Gateway, Sandbox(Uuid) }
#[derive(Clone, Copy)] pub(crate) enum PolicyStatus { Pending, Loaded, Failed, Superseded }
pub(crate) struct PolicyRow { pub version: u64, pub hash: String, pub text: String, pub status: PolicyStatus, pub created_ms: i64, pub loaded_ms: Option<i64>, pub error: Option<String> }
pub(crate) struct Added { pub row: PolicyRow, pub changed: bool }
type R<T> = Result<T, StoreError>;
impl Store {
 pub async fn newest_policy(&self, _s: &Scope) -> R<Option<PolicyRow>> { Ok(None) }
 pub async fn policy(&self, _s: &Scope, _v: u64) -> R<Option<PolicyRow>> { Ok(None) }
 pub async fn policies(&self, _s: &Scope) -> R<Vec<PolicyRow>> { Ok(vec![]) }
 pub async fn add_policy(&self, _s: &Scope, t: &str, h: &str, _b: Option<u64>) -> R<Added> { Ok(Added{row: PolicyRow{version:1,hash:h.into(),text:t.into(),status:PolicyStatus::Pending,created_ms:0,loaded_ms:None,error:None},changed:true}) }
 pub async fn policy_loaded(&self, _s: &Scope, _v: u64) -> R<()> { Ok(()) }
 pub async fn policy_failed(&self, _s: &Scope, _v: u64, _e: &str) -> R<()> { Ok(()) }
 pub async fn forget_policies(&self, _s: &Scope) -> R<()> { Ok(()) }
}
