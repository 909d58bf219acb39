// Prints each message as a line of JSON.
//
//   node watch.js ENDPOINT [COUNT]      messages of a publisher, at most COUNT
//   node watch.js --files FILE…         messages in their single-part form, one per file
//
// SPDX-License-Identifier: Apache-2.0

import {readFileSync} from 'node:fs';

import {decode, unpackSingle, WireError} from './message.js';

function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

function summary(message) {
  return {
    source: message.source,
    epoch: message.epoch,
    seq: message.seq,
    index: message.index,
    stamp_ns: String(message.stampNs),
    clock: message.clock,
    age_ms: message.age_ms,
    pts_seconds: message.pts_seconds ?? null,
    frame_id: message.frame_id ?? '',
    image: [message.image.w, message.image.h],
    mask_space: [message.mask_space.w, message.mask_space.h],
    mask_to_image: message.mask_space.to_image,
    objects: message.objects.map(({track_id, prompt_ids, box, score, label, mask}) => ({
      track_id,
      prompt_ids,
      box,
      score,
      label,
      crop: [mask.x, mask.y, mask.width, mask.height],
      area: mask.pixels.reduce((sum, pixel) => sum + pixel, 0),
      crc32: crc32(mask.pixels),
    })),
    prompts: message.prompts.map(({id, state, confidence, track_id, mask_quality}) => ({
      id,
      state,
      confidence,
      track_id,
      mask_quality: mask_quality ?? null,
    })),
    jpeg_bytes: message.jpeg?.length ?? 0,
  };
}

const [first, ...rest] = process.argv.slice(2);
if (first === undefined) {
  console.error('usage: node watch.js ENDPOINT [COUNT] | node watch.js --files FILE...');
  process.exit(2);
} else if (first === '--files') {
  for (const path of rest) {
    try {
      console.log(JSON.stringify(summary(decode(unpackSingle(readFileSync(path))))));
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      console.log(JSON.stringify({error: error.message}));
    }
  }
} else {
  const {subscribe} = await import('./subscriber.js');
  let left = rest.length ? Number(rest[0]) : Infinity;
  for await (const message of subscribe(first)) {
    console.log(JSON.stringify(summary(message)));
    if (--left <= 0) break;
  }
}
