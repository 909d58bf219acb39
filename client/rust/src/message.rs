//! Decodes messages. A peer controls every byte of a message: sizes are checked before memory is allocated, and what
//! contradicts itself is a `WireError`.
//!
//! SPDX-License-Identifier: Apache-2.0

use std::collections::HashMap;
use std::fmt;
use std::io::Read;

use serde_json::Value;

use crate::masks::{read_masks, Mask};

const MAX_OBJECTS: usize = 4096;
const MAX_BUFFERS: usize = 16;
const MAX_HEADER_BYTES: usize = 4 << 20;
const MAX_BUFFER_BYTES: u64 = 256 << 20;
const MAX_SIDE: u64 = 32768;

/// A message that is not valid, in one line.
#[derive(Debug)]
pub struct WireError(String);

impl WireError {
    pub(crate) fn new(problem: impl Into<String>) -> Self {
        WireError(problem.into().replace('\n', " "))
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for WireError {}

pub(crate) fn check(is_valid: bool, problem: &str) -> Result<(), WireError> {
    if is_valid {
        Ok(())
    } else {
        Err(WireError::new(problem))
    }
}

/// One object of a frame.
#[derive(Debug)]
pub struct Object {
    /// Stable identity; -1 while tentative.
    pub track_id: i64,
    pub prompt_ids: Vec<String>,
    /// xyxy in pixels of the source image.
    pub bounds: [f64; 4],
    pub score: f64,
    pub label: Option<String>,
    pub mask: Mask,
}

/// State of one prompt in one frame.
#[derive(Debug)]
pub struct PromptStatus {
    pub id: String,
    pub state: String,
    pub confidence: f64,
    pub track_id: i64,
    pub mask_quality: Option<f64>,
}

/// The published result of one frame.
#[derive(Debug)]
pub struct Message {
    pub source: String,
    pub epoch: String,
    pub seq: i64,
    pub index: i64,
    /// Capture time, ns since the Unix epoch.
    pub stamp_ns: i64,
    pub clock: String,
    /// Age of the frame when the message was made.
    pub age_ms: f64,
    pub pts_seconds: Option<f64>,
    pub frame_id: String,
    /// Width and height of the source image.
    pub image: [u32; 2],
    /// Width and height of the mask space.
    pub mask_space: [u32; 2],
    /// scale_x, scale_y, offset_x, offset_y: x_image = scale_x * x_mask + offset_x.
    pub mask_to_image: [f64; 4],
    pub objects: Vec<Object>,
    pub prompts: Vec<PromptStatus>,
    /// The image, if its topic was subscribed to.
    pub jpeg: Option<Vec<u8>>,
}

/// Decode the parts of a message: topic, header, buffers.
pub fn decode(parts: &[&[u8]]) -> Result<Message, WireError> {
    check(
        parts.len() >= 2 && parts[1].len() <= MAX_HEADER_BYTES,
        "the header is missing or too large",
    )?;
    let header: Value =
        serde_json::from_slice(parts[1]).map_err(|error| WireError::new(format!("the header is not JSON: {error}")))?;
    check(
        header.get("schema").and_then(Value::as_str) == Some("streamseg.frame"),
        "the message is not of schema streamseg.frame",
    )?;
    check(
        header.pointer("/version/0").and_then(Value::as_i64) == Some(1),
        "only version 1.x is supported; update the reader",
    )?;
    let objects = list(&header, "objects", MAX_OBJECTS)?;
    let entries = list(&header, "buffers", MAX_BUFFERS)?;
    check(
        entries.len() == parts.len() - 2,
        "the number of buffers is not that of the header",
    )?;
    let image = size(field(&header, "image")?)?;
    let space = field(&header, "mask_space")?;
    let mask_space = size(space)?;
    let mut buffers = HashMap::new();
    for (entry, body) in entries.iter().zip(&parts[2..]) {
        let name = text(entry, "name")?;
        // Buffers of later versions may have other types: only known ones are read.
        if ["masks", "mask_offsets", "mask_crops", "jpeg"].contains(&name.as_str()) {
            buffers.insert(name, read_buffer(entry, body)?);
        }
    }
    let masks = read_masks(&buffers, objects.len(), mask_space)?;
    Ok(Message {
        source: text(&header, "source")?,
        epoch: text(&header, "epoch")?,
        seq: integer(&header, "seq")?,
        index: integer(&header, "index")?,
        stamp_ns: stamp_of(field(&header, "stamp")?)?,
        clock: text(&header, "clock")?,
        age_ms: number(&header, "age_ms")?,
        pts_seconds: optional(&header, "pts_seconds", number)?,
        frame_id: optional(&header, "frame_id", text)?.unwrap_or_default(),
        image,
        mask_space,
        mask_to_image: four_numbers(space, "to_image")?,
        objects: objects
            .iter()
            .zip(masks)
            .map(|(values, mask)| read_object(values, mask))
            .collect::<Result<_, _>>()?,
        prompts: match header.get("prompts") {
            None => Vec::new(),
            Some(_) => list(&header, "prompts", usize::MAX)?
                .iter()
                .map(read_prompt)
                .collect::<Result<_, _>>()?,
        },
        jpeg: buffers.remove("jpeg").map(|buffer| buffer.bytes),
    })
}

/// Return the parts of a message in its single-part form, as slices of `body`.
pub fn unpack_single(body: &[u8]) -> Result<Vec<&[u8]>, WireError> {
    let problem = "a single-part message begins with a topic and a zero byte";
    let topic = body.iter().position(|&byte| byte == 0).unwrap_or(0);
    check((1..=128).contains(&topic) && body.len() >= topic + 5, problem)?;
    let num_parts = read_u32(body, topic + 1) as usize;
    let start = topic + 5;
    check(
        num_parts <= MAX_BUFFERS + 1 && body.len() - start >= 4 * num_parts,
        "a single-part message claims too many parts",
    )?;
    let mut parts = vec![&body[..topic]];
    let mut end = start + 4 * num_parts;
    for part in 0..num_parts {
        let length = read_u32(body, start + 4 * part) as usize;
        check(length <= body.len() - end, "the parts exceed the message")?;
        parts.push(&body[end..end + length]);
        end += length;
    }
    check(end == body.len(), "the parts do not fill the message")?;
    Ok(parts)
}

/// An array of a message, with its type and shape.
pub(crate) struct Buffer {
    pub(crate) encoding: String,
    pub(crate) dtype: String,
    pub(crate) shape: Vec<u64>,
    pub(crate) bytes: Vec<u8>,
}

fn read_buffer(entry: &Value, body: &[u8]) -> Result<Buffer, WireError> {
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
    Ok(Buffer { encoding: text(entry, "encoding")?, dtype, shape, bytes })
}

fn read_object(values: &Value, mask: Mask) -> Result<Object, WireError> {
    let prompt_ids = list(values, "prompt_ids", usize::MAX)?
        .iter()
        .map(|one| one.as_str().map(str::to_owned))
        .collect::<Option<_>>()
        .ok_or_else(|| WireError::new("'prompt_ids' must be texts"))?;
    Ok(Object {
        track_id: integer(values, "track_id")?,
        prompt_ids,
        bounds: four_numbers(values, "box")?,
        score: number(values, "score")?,
        label: optional(values, "label", text)?,
        mask,
    })
}

fn read_prompt(values: &Value) -> Result<PromptStatus, WireError> {
    Ok(PromptStatus {
        id: text(values, "id")?,
        state: text(values, "state")?,
        confidence: number(values, "confidence")?,
        track_id: integer(values, "track_id")?,
        mask_quality: optional(values, "mask_quality", number)?,
    })
}

fn stamp_of(stamp: &Value) -> Result<i64, WireError> {
    let (seconds, nanoseconds) = (integer(stamp, "sec")?, integer(stamp, "nanosec")?);
    check(
        (0..9_000_000_000).contains(&seconds) && (0..1_000_000_000).contains(&nanoseconds),
        "'stamp' is out of range",
    )?;
    Ok(seconds * 1_000_000_000 + nanoseconds)
}

fn size(values: &Value) -> Result<[u32; 2], WireError> {
    let side = |key| {
        let side = values.get(key).and_then(Value::as_u64).filter(|&side| side <= MAX_SIDE);
        side.map(|side| side as u32)
            .ok_or_else(|| WireError::new("a side of the image or of the mask space is out of range"))
    };
    Ok([side("w")?, side("h")?])
}

fn field<'a>(values: &'a Value, key: &str) -> Result<&'a Value, WireError> {
    values.get(key).ok_or_else(|| WireError::new(format!("'{key}' is missing")))
}

fn text(values: &Value, key: &str) -> Result<String, WireError> {
    let found = field(values, key)?.as_str();
    found.map(str::to_owned).ok_or_else(|| WireError::new(format!("'{key}' must be a text")))
}

fn integer(values: &Value, key: &str) -> Result<i64, WireError> {
    let found = field(values, key)?.as_i64();
    found.ok_or_else(|| WireError::new(format!("'{key}' must be an integer")))
}

fn number(values: &Value, key: &str) -> Result<f64, WireError> {
    let found = field(values, key)?.as_f64();
    found.ok_or_else(|| WireError::new(format!("'{key}' must be a number")))
}

fn optional<T>(
    values: &Value,
    key: &str,
    read: impl Fn(&Value, &str) -> Result<T, WireError>,
) -> Result<Option<T>, WireError> {
    match values.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(_) => read(values, key).map(Some),
    }
}

fn list<'a>(values: &'a Value, key: &str, most: usize) -> Result<&'a Vec<Value>, WireError> {
    let found = field(values, key)?.as_array().filter(|found| found.len() <= most);
    found.ok_or_else(|| WireError::new(format!("'{key}' is no list or too long")))
}

fn four_numbers(values: &Value, key: &str) -> Result<[f64; 4], WireError> {
    let numbers: Option<Vec<f64>> = list(values, key, 4)?.iter().map(Value::as_f64).collect();
    numbers
        .and_then(|numbers| numbers.try_into().ok())
        .ok_or_else(|| WireError::new(format!("'{key}' must be four numbers")))
}

/// Return the little-endian number at a position, which lies inside the bytes.
pub(crate) fn read_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
