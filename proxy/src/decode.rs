//! Undoes `content-encoding` chunk by chunk, with a bound on what comes out.
//!
//! Invariant: no input makes more than the bound; a truncated or damaged stream is an error, never a shorter text.

use std::io::{self, Write};

use bytes::{Bytes, BytesMut};

/// The encodings that are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As it is.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 1950, which HTTP calls `deflate`.
    Deflate,
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
}

/// Why a text could not be decoded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    /// The name in `content-encoding` is not among the known ones.
    #[error("the content encoding is not supported")]
    Unsupported,
    /// More comes out than is allowed.
    #[error("the decoded text exceeds {0} bytes")]
    Large(usize),
    /// The bytes are damaged or end too early.
    #[error("the encoded text is damaged")]
    Damaged(#[source] io::Error),
}

impl Encoding {
    /// The encoding of this name, in any case.
    ///
    /// # Errors
    /// [`DecodeError::Unsupported`] for every other name and for lists of encodings.
    pub(crate) fn of(name: &[u8]) -> Result<Self, DecodeError> {
        let known: [(&[u8], Self); 7] = [
            (b"", Self::Identity),
            (b"identity", Self::Identity),
            (b"gzip", Self::Gzip),
            (b"x-gzip", Self::Gzip),
            (b"deflate", Self::Deflate),
            (b"br", Self::Brotli),
            (b"zstd", Self::Zstd),
        ];
        let name = name.trim_ascii();
        let found = known.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, encoding)| *encoding).ok_or(DecodeError::Unsupported)
    }
}

/// Decodes one text.
pub(crate) struct Decoder {
    inner: Inner,
    limit: usize,
}

enum Inner {
    /// Bytes that may still pass.
    Identity(usize),
    Gzip(flate2::write::MultiGzDecoder<Capped>),
    Deflate(flate2::write::ZlibDecoder<Capped>),
    Brotli(Box<brotli::DecompressorWriter<Capped>>),
    Zstd(Box<Zstd>),
}

/// Takes what comes out, up to a bound.
struct Capped {
    out: BytesMut,
    left: usize,
    /// Most that may wait to be taken out.
    piece: usize,
}

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self
            .left
            .checked_sub(bytes.len())
            .filter(|_| self.out.len().saturating_add(bytes.len()) <= self.piece)
            .ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Buffer between a decoder and the bound, bytes.
const BUFFER_BYTES: usize = 16 << 10;

/// Largest zstd window that is accepted, as a power of two: 8 MiB, what RFC 9659 allows in HTTP.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

impl Decoder {
    /// A decoder that gives at most `limit` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Damaged`] if a decoder cannot be made.
    pub(crate) fn new(encoding: Encoding, limit: usize) -> Result<Self, DecodeError> {
        Self::in_pieces(encoding, limit, limit)
    }

    /// A decoder that gives at most `limit` bytes, and at most `piece` of them for one chunk: a chunk of some kilobytes
    /// can hold a gigabyte.
    ///
    /// # Errors
    /// [`DecodeError::Damaged`] if a decoder cannot be made.
    pub(crate) fn in_pieces(
        encoding: Encoding,
        limit: usize,
        piece: usize,
    ) -> Result<Self, DecodeError> {
        let sink = Capped { out: BytesMut::new(), left: limit, piece };
        let inner = match encoding {
            Encoding::Identity => Inner::Identity(limit),
            Encoding::Gzip => Inner::Gzip(flate2::write::MultiGzDecoder::new(sink)),
            Encoding::Deflate => Inner::Deflate(flate2::write::ZlibDecoder::new(sink)),
            Encoding::Brotli => {
                Inner::Brotli(Box::new(brotli::DecompressorWriter::new(sink, BUFFER_BYTES)))
            }
            Encoding::Zstd => Inner::Zstd(Box::new(Zstd::new(sink).map_err(DecodeError::Damaged)?)),
        };
        Ok(Self { inner, limit })
    }

    /// What `chunk` decodes to so far; text that is not encoded is not copied.
    ///
    /// # Errors
    /// When too much comes out or the bytes are damaged.
    pub(crate) fn push(&mut self, chunk: Bytes) -> Result<Bytes, DecodeError> {
        let written = match &mut self.inner {
            Inner::Identity(left) => {
                *left = left.checked_sub(chunk.len()).ok_or(DecodeError::Large(self.limit))?;
                return Ok(chunk);
            }
            Inner::Gzip(decoder) => decoder.write_all(&chunk).and_then(|()| decoder.flush()),
            Inner::Deflate(decoder) => decoder.write_all(&chunk).and_then(|()| decoder.flush()),
            Inner::Brotli(decoder) => decoder.write_all(&chunk).and_then(|()| decoder.flush()),
            Inner::Zstd(decoder) => decoder.push(&chunk),
        };
        written.map_err(|error| failed(error, self.limit))?;
        Ok(self.take())
    }

    /// The rest, when the encoded text has ended.
    ///
    /// # Errors
    /// [`DecodeError::Damaged`] when the text is not complete.
    pub(crate) fn finish(&mut self) -> Result<Bytes, DecodeError> {
        let ended = match &mut self.inner {
            Inner::Identity(_) => Ok(()),
            Inner::Gzip(decoder) => decoder.try_finish(),
            Inner::Deflate(decoder) => decoder.try_finish(),
            Inner::Brotli(decoder) => decoder.close(),
            Inner::Zstd(decoder) if decoder.complete => Ok(()),
            Inner::Zstd(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        };
        ended.map_err(|error| failed(error, self.limit))?;
        Ok(self.take())
    }

    fn take(&mut self) -> Bytes {
        let sink = match &mut self.inner {
            Inner::Identity(_) => return Bytes::new(),
            Inner::Gzip(decoder) => decoder.get_mut(),
            Inner::Deflate(decoder) => decoder.get_mut(),
            Inner::Brotli(decoder) => decoder.get_mut(),
            Inner::Zstd(decoder) => &mut decoder.sink,
        };
        sink.out.split().freeze()
    }
}

/// The streaming zstd decoder of the crate does not say whether a frame is complete; this one does.
struct Zstd {
    decoder: zstd::stream::raw::Decoder<'static>,
    sink: Capped,
    buffer: Box<[u8]>,
    complete: bool,
}

impl Zstd {
    fn new(sink: Capped) -> io::Result<Self> {
        let mut decoder = zstd::stream::raw::Decoder::new()?;
        let window = zstd::stream::raw::DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX);
        decoder.set_parameter(window)?;
        let buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
        Ok(Self { decoder, sink, buffer, complete: false })
    }

    fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        use zstd::stream::raw::{InBuffer, Operation, OutBuffer};
        let mut input = InBuffer::around(bytes);
        loop {
            let mut output = OutBuffer::around(&mut *self.buffer);
            let wanted = self.decoder.run(&mut input, &mut output)?;
            let made = output.as_slice().len();
            self.sink.write_all(output.as_slice())?;
            self.complete = wanted == 0;
            let consumed = input.pos() >= bytes.len();
            if consumed && (self.complete || made < self.buffer.len()) {
                return Ok(());
            }
        }
    }
}

fn failed(error: io::Error, limit: usize) -> DecodeError {
    if error.kind() == io::ErrorKind::FileTooLarge {
        DecodeError::Large(limit)
    } else {
        DecodeError::Damaged(error)
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("limit", &self.limit).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(encoding: Encoding, text: &[u8]) -> Vec<u8> {
        let level = flate2::Compression::fast();
        match encoding {
            Encoding::Identity => text.to_vec(),
            Encoding::Gzip => {
                let mut writer = flate2::write::GzEncoder::new(Vec::new(), level);
                writer.write_all(text).unwrap();
                writer.finish().unwrap()
            }
            Encoding::Deflate => {
                let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), level);
                writer.write_all(text).unwrap();
                writer.finish().unwrap()
            }
            Encoding::Brotli => {
                let mut writer = brotli::CompressorWriter::new(Vec::new(), 4096, 3, 20);
                writer.write_all(text).unwrap();
                writer.into_inner()
            }
            Encoding::Zstd => zstd::encode_all(text, 1).unwrap(),
        }
    }

    fn decoded(
        encoding: Encoding,
        bytes: &[u8],
        size: usize,
        limit: usize,
    ) -> Result<Vec<u8>, DecodeError> {
        let mut decoder = Decoder::new(encoding, limit)?;
        let mut out = Vec::new();
        for chunk in bytes.chunks(size) {
            out.extend_from_slice(&decoder.push(Bytes::copy_from_slice(chunk))?);
        }
        out.extend_from_slice(&decoder.finish()?);
        Ok(out)
    }

    const ENCODED: [Encoding; 4] =
        [Encoding::Gzip, Encoding::Deflate, Encoding::Brotli, Encoding::Zstd];

    #[test]
    fn every_encoding_gives_the_text_back_for_every_chunk_size() {
        let text: Vec<u8> = (0_u32..40_000).flat_map(|n| (n % 977).to_le_bytes()).collect();
        for encoding in ENCODED.into_iter().chain([Encoding::Identity]) {
            let bytes = encoded(encoding, &text);
            for size in [1, 7, 4096, usize::MAX] {
                let back = decoded(encoding, &bytes, size, text.len()).unwrap();
                assert!(back == text, "{encoding:?} {size}");
            }
        }
    }

    #[test]
    fn a_bomb_stops_at_the_bound() {
        let zeros = vec![0; 1 << 20];
        for encoding in ENCODED.into_iter().chain([Encoding::Identity]) {
            let bytes = encoded(encoding, &zeros);
            let result = decoded(encoding, &bytes, 4096, 1000);
            assert!(matches!(result, Err(DecodeError::Large(1000))), "{encoding:?}");
        }
    }

    #[test]
    fn one_chunk_gives_no_more_than_a_piece() {
        let zeros = vec![0; 1 << 20];
        for encoding in ENCODED {
            let mut decoder = Decoder::in_pieces(encoding, usize::MAX, 100_000).unwrap();
            let result = decoder.push(encoded(encoding, &zeros).into());
            assert!(matches!(result, Err(DecodeError::Large(_))), "{encoding:?}");
            let mut decoder = Decoder::in_pieces(encoding, usize::MAX, 100_000).unwrap();
            let (mut out, part) = (0, encoded(encoding, &zeros[..90_000]));
            for byte in part {
                out += decoder.push(Bytes::copy_from_slice(&[byte])).unwrap().len();
            }
            assert_eq!(out + decoder.finish().unwrap().len(), 90_000, "{encoding:?}");
        }
    }

    #[test]
    fn a_text_that_ends_too_early_is_an_error() {
        for encoding in ENCODED {
            let bytes = encoded(encoding, b"a text that is long enough to be cut somewhere");
            let cut = &bytes[..bytes.len() - 3];
            let result = decoded(encoding, cut, 5, 1000);
            assert!(matches!(result, Err(DecodeError::Damaged(_))), "{encoding:?}");
        }
    }

    #[test]
    fn names_are_known_in_any_case_and_lists_are_refused() {
        assert_eq!(Encoding::of(b" GZip ").unwrap(), Encoding::Gzip);
        assert_eq!(Encoding::of(b"").unwrap(), Encoding::Identity);
        for name in [&b"gzip, br"[..], b"compress", b"\xff"] {
            assert!(matches!(Encoding::of(name), Err(DecodeError::Unsupported)));
        }
    }
}
