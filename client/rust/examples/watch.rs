//! Prints each message as a line of JSON.
//!
//!   watch ENDPOINT [COUNT]      messages of a publisher, at most COUNT
//!   watch --files FILE…         messages in their single-part form, one per file
//!
//! SPDX-License-Identifier: Apache-2.0

use std::error::Error;
use std::time::Duration;

use serde_json::{json, Value};
use streamseg_client::{decode, unpack_single, Message, Subscriber};

fn summary(message: &Message) -> Value {
    let objects: Vec<Value> = message
        .objects
        .iter()
        .map(|found| {
            let mask = &found.mask;
            json!({
                "track_id": found.track_id,
                "prompt_ids": found.prompt_ids,
                "box": found.bounds,
                "score": found.score,
                "label": found.label,
                "crop": [mask.x, mask.y, mask.width, mask.height],
                "area": mask.area(),
                "crc32": crc32fast::hash(&mask.pixels),
            })
        })
        .collect();
    let prompts: Vec<Value> = message
        .prompts
        .iter()
        .map(|status| {
            json!({
                "id": status.id,
                "state": status.state,
                "confidence": status.confidence,
                "track_id": status.track_id,
                "mask_quality": status.mask_quality,
            })
        })
        .collect();
    json!({
        "source": message.source,
        "epoch": message.epoch,
        "seq": message.seq,
        "index": message.index,
        "stamp_ns": message.stamp_ns.to_string(),
        "clock": message.clock,
        "age_ms": message.age_ms,
        "pts_seconds": message.pts_seconds,
        "frame_id": message.frame_id,
        "image": message.image,
        "mask_space": message.mask_space,
        "mask_to_image": message.mask_to_image,
        "objects": objects,
        "prompts": prompts,
        "jpeg_bytes": message.jpeg.as_ref().map_or(0, Vec::len),
    })
}

fn watch(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    if arguments[0] == "--files" {
        for path in &arguments[1..] {
            let body = std::fs::read(path)?;
            match unpack_single(&body).and_then(|parts| decode(&parts)) {
                Ok(message) => println!("{}", summary(&message)),
                Err(error) => println!("{}", json!({"error": error.to_string()})),
            }
        }
        return Ok(());
    }
    let mut left: u64 = arguments.get(1).map_or(Ok(u64::MAX), |count| count.parse())?;
    let mut subscriber = Subscriber::connect(&arguments[0], "seg/1/", None)?;
    while left > 0 {
        if let Some(message) = subscriber.receive(Duration::from_secs(1))? {
            println!("{}", summary(&message));
            left -= 1;
        }
    }
    Ok(())
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.is_empty() {
        eprintln!("usage: watch ENDPOINT [COUNT] | watch --files FILE...");
        std::process::exit(2);
    }
    if let Err(error) = watch(&arguments) {
        eprintln!("watch: {error}");
        std::process::exit(2);
    }
}
