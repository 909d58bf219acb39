//! Arrays of a message, compressed or not.
//!
//! SPDX-License-Identifier: Apache-2.0

use std::io::Read;

use serde_json::Value;

use crate::values::{check, list, text, WireError};

const MAX_BUFFER_BYTES: u64 = 256 << 20;

/// An array of a message, with its type and shape.
pub(crate) struct Buffer {
    pub(crate) encoding: String,
    pub(crate) dtype: String,
    pub(crate) shape: Vec<u64>,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) fn read_buffer(entry: &Value, body: &[u8]) -> Result<Buffer, WireError> {
    let dtype = text(entry, "dtype")?;
    let item_size = match dtype.as_str() {
        "|u1" => 1,
        "<u2" => 2,
        "<u4" => 4,
        _ => return Err(WireError::new(format!("unknown dtype {dtype:.20}"))),
    };
    let mut shape = Vec::new();
    let mut num_bytes: u64 = item_size;
    for side in list(entry, "shape", 8)? {
        let side = side.as_u64().filter(|&side| side <= MAX_BUFFER_BYTES);
        let side = side.ok_or_else(|| WireError::new("the shape of a buffer is not a list of sizes"))?;
        num_bytes = num_bytes.saturating_mul(side);
        shape.push(side);
    }
    check(num_bytes <= MAX_BUFFER_BYTES, "a buffer is too large")?;
    let compression = text(entry, "compression")?;
    let bytes = match compression.as_str() {
        "none" => body.to_vec(),
        "zlib" => {
            let mut bytes = Vec::new();
            flate2::read::ZlibDecoder::new(body)
                .take(num_bytes + 1)
                .read_to_end(&mut bytes)
                .map_err(|error| WireError::new(format!("a compressed buffer cannot be read: {error}")))?;
            bytes
        }
        _ => return Err(WireError::new(format!("unknown compression {compression:.20}"))),
    };
    check(
        bytes.len() as u64 == num_bytes,
        "a buffer does not have the size of its shape",
    )?;
    Ok(Buffer {
        encoding: text(entry, "encoding")?,
        dtype,
        shape,
        bytes,
    })
}

/// Return the little-endian number at a position, which lies inside the bytes.
pub(crate) fn read_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
