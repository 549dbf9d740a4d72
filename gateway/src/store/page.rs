//! Long lists, a page at a time.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::limits::PAGE_ITEMS_MAX;
use serde::{Serialize, de::DeserializeOwned};

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
    /// Where to go on, as [`Page::listed`] wrote it down.
    pub(super) fn position<P: DeserializeOwned>(&self) -> Result<Option<P>, StoreError> {
        let Some(after) = &self.after else { return Ok(None) };
        let read = || serde_json::from_slice(&URL_SAFE_NO_PAD.decode(after).ok()?).ok();
        read().map(Some).ok_or(StoreError::Invalid("that is not where a page ended"))
    }

    /// How many rows to ask for: one more than fits shows that there are more.
    pub(super) fn rows(&self) -> i64 {
        i64::from(self.limit.clamp(1, PAGE_ITEMS_MAX)) + 1
    }

    /// The rows that were asked for as a page; `position` is where an item stands in the order.
    pub(super) fn listed<T, P: Serialize>(
        &self,
        mut items: Vec<T>,
        position: impl FnOnce(&T) -> P,
    ) -> Listed<T> {
        let limit = usize::try_from(self.rows() - 1).unwrap_or(usize::MAX);
        let has_more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().filter(|_| has_more);
        Listed { next: last.and_then(|last| Self::cursor(&position(last))), items }
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
        let page = Page { after: None, limit: 2 };
        assert_eq!(page.rows(), 3);
        let listed = page.listed(vec![1, 2, 3], |item| *item);
        assert_eq!(listed.items, [1, 2]);
        let page = Page { after: listed.next, limit: 2 };
        assert_eq!(page.position::<i32>().unwrap(), Some(2));
        assert!(page.listed(vec![3, 4], |item| *item).next.is_none());
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
