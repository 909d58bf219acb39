//! Decodes messages. A peer controls every byte of a message: sizes are checked before memory is allocated, and what
//! contradicts itself is a `WireError`.
//!
//! SPDX-License-Identifier: Apache-2.0

use std::collections::HashMap;

use serde_json::Value;

use crate::buffer::{read_buffer, read_u32};
use crate::masks::{read_masks, Mask};
use crate::values::{check, field, four_numbers, integer, list, number, optional, text, WireError};

const MAX_OBJECTS: usize = 4096;
const MAX_BUFFERS: usize = 16;
const MAX_HEADER_BYTES: usize = 4 << 20;
const MAX_SIDE: u64 = 32768;

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
