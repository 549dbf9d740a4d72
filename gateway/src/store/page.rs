//! Long lists, a page at a time.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::limits::{PAGE_BYTES_MAX, PAGE_ITEMS_MAX};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{
    Any, AnyPool,
    any::{AnyArguments, AnyRow},
    query::Query,
};
use tokio_stream::StreamExt as _;

use super::error::StoreError;

/// Which part of a list.
#[derive(Clone, Debug)]
pub struct Page {
    /// Where the last page ended: its [`Listed::next`]. `None` is the beginning.
    pub after: Option<String>,
    /// Most items; 1 to 1000, other numbers count as the nearest of these.
    pub limit: u32,
}

/// A part of a list.
#[derive(Clone, Debug)]
pub struct Listed<T> {
    /// In the order of the list.
    pub items: Vec<T>,
    /// Where the next page begins; `None` at the end. Opaque, and valid as long as anyone keeps it.
    pub next: Option<String>,
}

impl Default for Page {
    /// The first 100 items.
    fn default() -> Self {
        Self { after: None, limit: 100 }
    }
}

impl Page {
    /// Where to go on behind a position of the audit.
    pub(crate) fn behind(position: i64) -> Option<String> {
        Self::cursor(&position)
    }

    /// Where to go on, as [`Page::cursor`] wrote it down.
    pub(super) fn position<P: DeserializeOwned>(&self) -> Result<Option<P>, StoreError> {
        let Some(after) = &self.after else { return Ok(None) };
        let read = || serde_json::from_slice(&URL_SAFE_NO_PAD.decode(after).ok()?).ok();
        read().map(Some).ok_or(StoreError::Invalid("that is not where a page ended"))
    }

    /// How many rows to ask for: one more than fits shows that there are more.
    pub(super) fn rows(&self) -> i64 {
        i64::from(self.limit.clamp(1, PAGE_ITEMS_MAX)) + 1
    }

    /// The rows of a query as a page, which asked for [`Page::rows`] of them. `read` gives an item and the bytes of its
    /// body; `position` is where an item stands in the order.
    pub(super) async fn fetch<T, P: Serialize>(
        &self,
        query: Query<'_, Any, AnyArguments>,
        from: &AnyPool,
        read: impl Fn(&AnyRow) -> Result<(T, usize), StoreError>,
        position: impl Fn(&T) -> P,
    ) -> Result<Listed<T>, StoreError> {
        let limit = usize::try_from(self.rows() - 1).unwrap_or(usize::MAX);
        let (mut items, mut size, mut next) = (Vec::new(), 0_usize, None);
        let mut rows = query.fetch(from);
        while let Some(row) = rows.next().await {
            if items.len() == limit || size > PAGE_BYTES_MAX {
                next = items.last().and_then(|last| Self::cursor(&position(last)));
                break;
            }
            let (item, bytes) = read(&row?)?;
            size = size.saturating_add(bytes);
            items.push(item);
        }
        Ok(Listed { items, next })
    }

    /// A position as [`Page::position`] reads it.
    pub(super) fn cursor(position: &impl Serialize) -> Option<String> {
        serde_json::to_vec(position).ok().map(|text| URL_SAFE_NO_PAD.encode(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_goes_on_where_the_last_one_ended() {
        let after = Page::cursor(&("a\"ä", 2));
        let page = Page { after, limit: 2 };
        assert_eq!(page.position().unwrap(), Some(("a\"ä".to_owned(), 2)));
        assert_eq!(Page::default().position::<String>().unwrap(), None);
    }

    #[test]
    fn what_no_page_said_is_refused() {
        for after in ["", "x", "é", "bnVsbA", "W10"] {
            let page = Page { after: Some(after.to_owned()), limit: 1 };
            assert!(page.position::<(String, String)>().is_err(), "{after:?}");
        }
    }

    #[test]
    fn a_page_is_never_endless() {
        let rows = |limit| Page { after: None, limit }.rows();
        assert_eq!([rows(0), rows(1), rows(1000), rows(u32::MAX)], [2, 2, 1001, 1001]);
    }
}
