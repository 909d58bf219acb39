//! Decodes the masks of a message, in all encodings.
//!
//! SPDX-License-Identifier: Apache-2.0

use std::collections::HashMap;

use crate::buffer::{read_u32, Buffer};
use crate::values::{check, WireError};

/// Pixels of all crops of a message together.
const MAX_MASK_PIXELS: u64 = 1 << 29;

/// A crop of the mask space; everything outside is background.
#[derive(Debug)]
pub struct Mask {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
    /// 0 or 1, height * width, row-major.
    pub pixels: Vec<u8>,
}

impl Mask {
    /// Number of pixels of the object.
    pub fn area(&self) -> usize {
        self.pixels.iter().filter(|&&pixel| pixel != 0).count()
    }
}

pub(crate) fn read_masks(
    buffers: &HashMap<String, Buffer>,
    num_masks: usize,
    space: [u32; 2],
) -> Result<Vec<Mask>, WireError> {
    let crops = required(buffers, "mask_crops", "<u4", &[Some(num_masks as u64), Some(4)])?;
    let mut masks = empty_masks(&crops.bytes, num_masks, space)?;
    let encoding = buffers.get("masks").map_or("", |buffer| buffer.encoding.as_str());
    if encoding == "label-u16" {
        let shape = [Some(u64::from(space[1])), Some(u64::from(space[0]))];
        let labels = &required(buffers, "masks", "<u2", &shape)?.bytes;
        for (number, mask) in masks.iter_mut().enumerate() {
            let (x, y, width) = (mask.x as usize, mask.y as usize, mask.width as usize);
            for (at, pixel) in mask.pixels.iter_mut().enumerate() {
                let cell = (y + at / width) * space[0] as usize + x + at % width;
                let label = u16::from_le_bytes([labels[2 * cell], labels[2 * cell + 1]]);
                *pixel = u8::from(usize::from(label) == number + 1);
            }
        }
        return Ok(masks);
    }
    let has_runs = encoding == "rle-crop-u32";
    check(
        has_runs || encoding == "bits-crop" || encoding == "coco-rle",
        "unknown mask encoding",
    )?;
    let (dtype, item) = if has_runs { ("<u4", 4) } else { ("|u1", 1) };
    let values = required(buffers, "masks", dtype, &[None])?;
    let offsets = &required(buffers, "mask_offsets", "<u4", &[Some(num_masks as u64 + 1)])?.bytes;
    check(
        read_u32(offsets, 0) == 0 && u64::from(read_u32(offsets, 4 * num_masks)) == values.shape[0],
        "'mask_offsets' must begin with 0 and end with the length of 'masks'",
    )?;
    for (number, mask) in masks.iter_mut().enumerate() {
        let (start, stop) = (read_u32(offsets, 4 * number), read_u32(offsets, 4 * number + 4));
        check(
            start <= stop && u64::from(stop) <= values.shape[0],
            "'mask_offsets' must increase",
        )?;
        let piece = &values.bytes[item * start as usize..item * stop as usize];
        match encoding {
            "rle-crop-u32" => decode_runs(mask, piece)?,
            "bits-crop" => decode_bits(mask, piece)?,
            _ => decode_coco(mask, piece, space)?,
        }
    }
    Ok(masks)
}

fn required<'a>(
    buffers: &'a HashMap<String, Buffer>,
    name: &str,
    dtype: &str,
    shape: &[Option<u64>],
) -> Result<&'a Buffer, WireError> {
    let buffer = buffers.get(name);
    let buffer = buffer.ok_or_else(|| WireError::new(format!("the buffer {name} is missing")))?;
    let has_shape = buffer.shape.len() == shape.len()
        && shape
            .iter()
            .zip(&buffer.shape)
            .all(|(side, found)| side.map_or(true, |side| side == *found));
    let problem = format!("the buffer {name} has the wrong dtype or shape");
    check(buffer.dtype == dtype && has_shape, &problem)?;
    Ok(buffer)
}

fn empty_masks(crops: &[u8], num_masks: usize, space: [u32; 2]) -> Result<Vec<Mask>, WireError> {
    let mut masks = Vec::with_capacity(num_masks);
    let mut num_pixels: u64 = 0;
    for number in 0..num_masks {
        let value = |column: usize| read_u32(crops, 16 * number + 4 * column);
        let (x, y, width, height) = (value(0), value(1), value(2), value(3));
        check(
            u64::from(x) + u64::from(width) <= u64::from(space[0])
                && u64::from(y) + u64::from(height) <= u64::from(space[1]),
            "a crop lies outside the mask space",
        )?;
        num_pixels += u64::from(width) * u64::from(height);
        check(num_pixels <= MAX_MASK_PIXELS, "the crops have too many pixels")?;
        masks.push(Mask {
            x,
            y,
            width,
            height,
            pixels: Vec::new(),
        });
    }
    for mask in &mut masks {
        mask.pixels = vec![0; mask.width as usize * mask.height as usize];
    }
    Ok(masks)
}

/// Runs of background and foreground in turn, column by column.
fn decode_runs(mask: &mut Mask, runs: &[u8]) -> Result<(), WireError> {
    let (width, height) = (mask.width as usize, mask.height as usize);
    let mut at = 0;
    for number in 0..runs.len() / 4 {
        let count = read_u32(runs, 4 * number) as usize;
        check(count <= mask.pixels.len() - at, "the runs of a mask exceed its crop")?;
        if number % 2 == 1 {
            for pixel in at..at + count {
                mask.pixels[(pixel % height) * width + pixel / height] = 1;
            }
        }
        at += count;
    }
    check(at == mask.pixels.len(), "the runs of a mask do not fill its crop")
}

fn decode_bits(mask: &mut Mask, bits: &[u8]) -> Result<(), WireError> {
    check(
        bits.len() == (mask.pixels.len() + 7) / 8,
        "a mask does not have the size of its crop",
    )?;
    for (at, pixel) in mask.pixels.iter_mut().enumerate() {
        *pixel = bits[at / 8] >> (7 - at % 8) & 1;
    }
    Ok(())
}

/// COCO's compressed run lengths over the whole mask space.
fn decode_coco(mask: &mut Mask, text: &[u8], space: [u32; 2]) -> Result<(), WireError> {
    let height = i64::from(space[1]);
    let end = i64::from(space[0]) * height;
    let mut counts: Vec<i64> = Vec::new();
    let mut characters = text.iter();
    let mut at: i64 = 0;
    while !characters.as_slice().is_empty() {
        let mut value: i64 = 0;
        let mut digit = 0;
        loop {
            let character = if digit < 7 { characters.next() } else { None };
            let character = character.ok_or_else(|| WireError::new("a COCO mask ends within a number"))?;
            let bits = i64::from(*character) - 48;
            check((0..64).contains(&bits), "a COCO mask contains an invalid character")?;
            value |= (bits & 31) << (5 * digit);
            digit += 1;
            if bits & 32 == 0 {
                if bits & 16 != 0 {
                    value -= 1 << (5 * digit);
                }
                break;
            }
        }
        if counts.len() > 2 {
            value += counts[counts.len() - 2];
        }
        check(
            (0..=end - at).contains(&value),
            "the runs of a mask exceed the mask space",
        )?;
        if counts.len() % 2 == 1 {
            for pixel in at..at + value {
                let (x, y) = (pixel / height - i64::from(mask.x), pixel % height - i64::from(mask.y));
                let is_inside = (0..i64::from(mask.width)).contains(&x) && (0..i64::from(mask.height)).contains(&y);
                check(is_inside, "a COCO mask extends beyond its crop")?;
                mask.pixels[y as usize * mask.width as usize + x as usize] = 1;
            }
        }
        at += value;
        counts.push(value);
    }
    check(at == end, "the runs of a mask do not fill the mask space")
}
