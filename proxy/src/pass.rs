//! seam
use std::sync::Arc;

use bytes::Bytes;
use router::{redact::Vault, wire::Dialect};

use crate::decode::{DecodeError, Decoder, Encoding};

pub(crate) struct Pass {
    decoder: Decoder,
}
impl Pass {
    pub(crate) fn new(
        _vault: &Arc<Vault>,
        _from: Dialect,
        _to: Dialect,
        encoding: Encoding,
    ) -> Result<Self, DecodeError> {
        Ok(Self { decoder: Decoder::new(encoding, 64 << 20)? })
    }
    pub(crate) fn push(&mut self, chunk: Bytes) -> Result<Bytes, DecodeError> {
        self.decoder.push(chunk)
    }
    pub(crate) fn finish(&mut self) -> Result<Bytes, DecodeError> {
        self.decoder.finish()
    }
}
