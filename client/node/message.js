// Decodes messages of streamseg; needs Node only. The format is described in docs/protocol.md. A peer controls every
// byte of a message: sizes are checked before memory is allocated, and what contradicts itself throws WireError.
//
// SPDX-License-Identifier: Apache-2.0

import {inflateSync} from 'node:zlib';

/** A message that is not valid, in one line. */
export class WireError extends Error {}

const MAX_OBJECTS = 4096;
const MAX_BUFFERS = 16;
const MAX_HEADER_BYTES = 4 << 20;
const MAX_BUFFER_BYTES = 256 << 20;
const MAX_SIDE = 32768;
/** Pixels of all crops of a message together. */
const MAX_MASK_PIXELS = 2 ** 29;
const ITEM_SIZES = {'|u1': 1, '<u2': 2, '<u4': 4};

/**
 * Decode the parts of a message: topic, header, buffers.
 *
 * Returns the header's values with the mask of each object added: `mask` is {x, y, width, height, pixels}, a crop of
 * the mask space whose pixels (Uint8Array, height * width, row-major) are 0 or 1; everything outside is background.
 * `stampNs` is the capture time as a BigInt, in ns since the Unix epoch; `jpeg` is the image, or null.
 *
 * @param {Uint8Array[]} parts
 * @throws {WireError}
 */
export function decode(parts) {
  check(parts.length >= 2 && parts[1].length <= MAX_HEADER_BYTES, 'the header is missing or too large');
  const header = parseJson(parts[1]);
  check(header?.schema === 'streamseg.frame', 'the message is not of schema streamseg.frame');
  check(Array.isArray(header.version) && header.version[0] === 1, 'only version 1.x is supported; update the reader');
  const {objects, buffers: entries, image, mask_space: space} = header;
  check(Array.isArray(objects) && objects.length <= MAX_OBJECTS, "'objects' is no list or too long");
  check(Array.isArray(entries) && entries.length <= MAX_BUFFERS, "'buffers' is no list or too long");
  check(entries.length === parts.length - 2, 'the number of buffers is not that of the header');
  for (const size of [image, space]) {
    check(isSide(size?.w) && isSide(size?.h), 'a side of the image or of the mask space is out of range');
  }
  check(isNumbers(space.to_image, 4), "'to_image' must be four numbers");
  const buffers = new Map();
  entries.forEach((entry, n) => {
    // Buffers of later versions may have other types: only known ones are read.
    if (['masks', 'mask_offsets', 'mask_crops', 'jpeg'].includes(entry?.name)) {
      buffers.set(entry.name, readBuffer(entry, parts[n + 2]));
    }
  });
  const masks = readMasks(buffers, objects.length, space);
  return {
    ...header,
    prompts: header.prompts ?? [],
    stampNs: stampOf(header.stamp),
    objects: objects.map((found, n) => ({...checkedObject(found), mask: masks[n]})),
    jpeg: buffers.get('jpeg')?.bytes ?? null,
  };
}

/**
 * Return the parts of a message in its single-part form, as views of `body`.
 *
 * @param {Uint8Array} body
 * @throws {WireError}
 */
export function unpackSingle(body) {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const topic = body.indexOf(0);
  check(topic > 0 && topic <= 128 && body.length >= topic + 5, 'a single-part message begins with a topic and a zero byte');
  const numParts = view.getUint32(topic + 1, true);
  const start = topic + 5;
  check(numParts <= MAX_BUFFERS + 1 && body.length - start >= 4 * numParts, 'a single-part message claims too many parts');
  const parts = [body.subarray(0, topic)];
  let end = start + 4 * numParts;
  for (let n = 0; n < numParts; n++) {
    const length = view.getUint32(start + 4 * n, true);
    check(length <= body.length - end, 'the parts exceed the message');
    parts.push(body.subarray(end, end + length));
    end += length;
  }
  check(end === body.length, 'the parts do not fill the message');
  return parts;
}

function check(isValid, problem) {
  if (!isValid) throw new WireError(problem);
}

function parseJson(bytes) {
  try {
    return JSON.parse(new TextDecoder('utf-8', {fatal: true}).decode(bytes));
  } catch (error) {
    throw new WireError(`the header is not JSON: ${error.message}`);
  }
}

function isSide(side) {
  return Number.isInteger(side) && side >= 0 && side <= MAX_SIDE;
}

function isNumbers(values, count) {
  return Array.isArray(values) && values.length === count && values.every(Number.isFinite);
}

function stampOf(stamp) {
  const {sec, nanosec} = stamp ?? {};
  check(Number.isInteger(sec) && sec >= 0 && Number.isInteger(nanosec) && nanosec >= 0 && nanosec < 1e9, "'stamp' is out of range");
  return BigInt(sec) * 1_000_000_000n + BigInt(nanosec);
}

function checkedObject(found) {
  check(Number.isInteger(found?.track_id), "'track_id' must be an integer");
  check(isNumbers(found.box, 4) && Number.isFinite(found.score), "'box' must be four numbers and 'score' a number");
  check(Array.isArray(found.prompt_ids), "'prompt_ids' must be a list");
  return {label: null, ...found};
}

function readBuffer(entry, body) {
  const {encoding, dtype, shape, compression} = entry;
  check(Array.isArray(shape) && shape.length <= 8, 'the shape of a buffer is not a list of sizes');
  check(shape.every((side) => Number.isInteger(side) && side >= 0 && side <= MAX_BUFFER_BYTES), 'the shape of a buffer is not a list of sizes');
  check(Object.hasOwn(ITEM_SIZES, dtype), `unknown dtype ${String(dtype).slice(0, 20)}`);
  const numBytes = shape.reduce((product, side) => product * side, ITEM_SIZES[dtype]);
  check(numBytes <= MAX_BUFFER_BYTES, 'a buffer is too large');
  let bytes = body;
  if (compression === 'zlib') {
    try {
      // One byte more than needed: zlib refuses a limit of 0.
      bytes = inflateSync(body, {maxOutputLength: numBytes + 1});
    } catch (error) {
      throw new WireError(`a compressed buffer cannot be read: ${error.message}`);
    }
  } else {
    check(compression === 'none', `unknown compression ${String(compression).slice(0, 20)}`);
  }
  check(bytes.length === numBytes, 'a buffer does not have the size of its shape');
  return {encoding, dtype, shape, bytes};
}

/** Return the numbers of a buffer (little-endian) as an array of the machine's byte order. */
function numbersOf(buffer) {
  const {bytes, dtype} = buffer;
  if (dtype === '|u1') return bytes;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return dtype === '<u4'
    ? Uint32Array.from({length: bytes.length / 4}, (_, n) => view.getUint32(4 * n, true))
    : Uint16Array.from({length: bytes.length / 2}, (_, n) => view.getUint16(2 * n, true));
}

function required(buffers, name, dtype, shape) {
  const buffer = buffers.get(name);
  check(buffer !== undefined, `the buffer ${name} is missing`);
  const hasShape = buffer.shape.length === shape.length && shape.every((side, n) => side === null || side === buffer.shape[n]);
  check(buffer.dtype === dtype && hasShape, `the buffer ${name} has the wrong dtype or shape`);
  return numbersOf(buffer);
}

function emptyMasks(crops, numMasks, space) {
  const masks = [];
  let numPixels = 0;
  for (let n = 0; n < numMasks; n++) {
    const [x, y, width, height] = crops.subarray(4 * n, 4 * n + 4);
    check(x + width <= space.w && y + height <= space.h, 'a crop lies outside the mask space');
    numPixels += width * height;
    check(numPixels <= MAX_MASK_PIXELS, 'the crops have too many pixels');
    masks.push({x, y, width, height});
  }
  for (const mask of masks) mask.pixels = new Uint8Array(mask.width * mask.height);
  return masks;
}

function readMasks(buffers, numMasks, space) {
  const masks = emptyMasks(required(buffers, 'mask_crops', '<u4', [numMasks, 4]), numMasks, space);
  const encoding = buffers.get('masks')?.encoding;
  if (encoding === 'label-u16') {
    const labels = required(buffers, 'masks', '<u2', [space.h, space.w]);
    masks.forEach((mask, n) => {
      for (let at = 0; at < mask.pixels.length; at++) {
        const x = mask.x + (at % mask.width);
        const y = mask.y + Math.floor(at / mask.width);
        mask.pixels[at] = labels[y * space.w + x] === n + 1 ? 1 : 0;
      }
    });
    return masks;
  }
  check(Object.hasOwn(DECODERS, encoding), `unknown mask encoding ${String(encoding).slice(0, 40)}`);
  const values = required(buffers, 'masks', encoding === 'rle-crop-u32' ? '<u4' : '|u1', [null]);
  const offsets = required(buffers, 'mask_offsets', '<u4', [numMasks + 1]);
  check(offsets[0] === 0 && offsets[numMasks] === values.length, "'mask_offsets' must begin with 0 and end with the length of 'masks'");
  masks.forEach((mask, n) => {
    check(offsets[n] <= offsets[n + 1] && offsets[n + 1] <= values.length, "'mask_offsets' must increase");
    DECODERS[encoding](mask, values.subarray(offsets[n], offsets[n + 1]), space);
  });
  return masks;
}

function decodeRuns(mask, runs) {
  let at = 0;
  runs.forEach((count, n) => {
    check(count <= mask.pixels.length - at, 'the runs of a mask exceed its crop');
    if (n % 2 === 1) {
      for (let pixel = at; pixel < at + count; pixel++) {
        mask.pixels[(pixel % mask.height) * mask.width + Math.floor(pixel / mask.height)] = 1;
      }
    }
    at += count;
  });
  check(at === mask.pixels.length, 'the runs of a mask do not fill its crop');
}

function decodeBits(mask, bits) {
  check(bits.length === Math.ceil(mask.pixels.length / 8), 'a mask does not have the size of its crop');
  for (let at = 0; at < mask.pixels.length; at++) mask.pixels[at] = (bits[at >> 3] >> (7 - (at & 7))) & 1;
}

/** Decode COCO's compressed run lengths over the whole mask space. */
function decodeCoco(mask, text, space) {
  const counts = [];
  let at = 0;
  for (let position = 0; position < text.length; ) {
    let value = 0;
    let hasMore = true;
    for (let digit = 0; hasMore; digit++) {
      check(position < text.length && digit < 7, 'a COCO mask ends within a number');
      const bits = text[position++] - 48;
      check(bits >= 0 && bits <= 63, 'a COCO mask contains an invalid character');
      // Numbers have up to 35 bits: no bit operators, which have 32.
      value += (bits & 31) * 2 ** (5 * digit);
      hasMore = (bits & 32) !== 0;
      if (!hasMore && (bits & 16) !== 0) value -= 2 ** (5 * digit + 5);
    }
    if (counts.length > 2) value += counts[counts.length - 2];
    check(value >= 0 && value <= space.w * space.h - at, 'the runs of a mask exceed the mask space');
    if (counts.length % 2 === 1) {
      for (let pixel = at; pixel < at + value; pixel++) {
        const x = Math.floor(pixel / space.h) - mask.x;
        const y = (pixel % space.h) - mask.y;
        check(x >= 0 && y >= 0 && x < mask.width && y < mask.height, 'a COCO mask extends beyond its crop');
        mask.pixels[y * mask.width + x] = 1;
      }
    }
    at += value;
    counts.push(value);
  }
  check(at === space.w * space.h, 'the runs of a mask do not fill the mask space');
}

const DECODERS = {'rle-crop-u32': decodeRuns, 'bits-crop': decodeBits, 'coco-rle': decodeCoco};
