/** Reader of wire version 1 in single-part form: header, masks and image of one frame. */

const MAJOR_VERSION = 1;
const MAX_PARTS = 17;
const MAX_TOPIC_BYTES = 128;

/**
 * @typedef {object} Mask The pixels of its crop as runs, column by column.
 * @property {number} x Left column of the crop in the mask space.
 * @property {number} y Top row.
 * @property {number} w
 * @property {number} h
 * @property {Uint32Array} ends End of each run, alternating background and foreground; the last is w * h.
 */

/**
 * @typedef {object} Packed
 * @property {string} source
 * @property {any} header The JSON of the frame, see `streamseg/assets/message.schema.json`.
 * @property {Mask[]} masks One per object of the header.
 * @property {Uint8Array | null} jpeg
 */

/** Invalid bytes of a message. */
export class WireError extends Error {}

/**
 * The topic and the parts of a message in its single-part form.
 * @param {ArrayBuffer} body
 * @returns {{topic: string, parts: Uint8Array[]}} The parts are views of `body`.
 */
export function unpackSingle(body) {
  const bytes = new Uint8Array(body);
  const topicLength = bytes.subarray(0, MAX_TOPIC_BYTES + 1).indexOf(0);
  if (topicLength <= 0) throw new WireError("a message must start with a topic and a zero byte");
  const view = new DataView(body);
  let start = topicLength + 1;
  if (bytes.length < start + 4) throw new WireError("the message ends before its number of parts");
  const numParts = view.getUint32(start, true);
  start += 4;
  if (numParts > MAX_PARTS || bytes.length < start + 4 * numParts) {
    throw new WireError(`the message has an invalid number of parts, ${numParts}`);
  }
  const lengths = Array.from({ length: numParts }, (_, part) => view.getUint32(start + 4 * part, true));
  start += 4 * numParts;
  const parts = [];
  for (const length of lengths) {
    parts.push(bytes.subarray(start, start + length));
    start += length;
  }
  if (start !== bytes.length) throw new WireError(`the parts end at ${start} of ${bytes.length} bytes`);
  return { topic: new TextDecoder().decode(bytes.subarray(0, topicLength)), parts };
}

/**
 * The source of a message; the rest is not read.
 * @param {ArrayBuffer} body
 * @returns {string}
 */
export function sourceOf(body) {
  const start = new Uint8Array(body, 0, Math.min(body.byteLength, MAX_TOPIC_BYTES + 1));
  const [kind, version, source] = new TextDecoder().decode(start.subarray(0, start.indexOf(0))).split("/");
  if ((kind !== "pic" && kind !== "seg") || version !== String(MAJOR_VERSION) || !source) {
    throw new WireError("the topic must be pic/1/<source>/");
  }
  return source;
}

/**
 * Read one frame.
 * @param {ArrayBuffer} body
 * @returns {Packed}
 */
export function readFrame(body) {
  const source = sourceOf(body);
  const { parts } = unpackSingle(body);
  if (!parts.length) throw new WireError("the message has no header");
  const header = JSON.parse(new TextDecoder().decode(parts[0]));
  if (header.schema !== "streamseg.frame" || header.version[0] !== MAJOR_VERSION) {
    throw new WireError(`${header.schema} ${header.version} is not streamseg.frame ${MAJOR_VERSION}; reload the page`);
  }
  const buffers = new Map();
  for (const [position, entry] of header.buffers.entries()) buffers.set(entry.name, { entry, body: parts[position + 1] });
  return { source, header, masks: readMasks(buffers, header.objects.length), jpeg: buffers.get("jpeg")?.body ?? null };
}

/**
 * @param {Map<string, {entry: any, body: Uint8Array}>} buffers
 * @param {number} numMasks
 * @returns {Mask[]}
 */
function readMasks(buffers, numMasks) {
  const runs = readWords(buffers, "masks", "rle-crop-u32");
  const offsets = readWords(buffers, "mask_offsets", "raw");
  const crops = readWords(buffers, "mask_crops", "raw");
  if (offsets.length !== numMasks + 1 || crops.length !== 4 * numMasks || offsets[numMasks] !== runs.length) {
    throw new WireError(`the tables of masks do not match ${numMasks} objects`);
  }
  return Array.from({ length: numMasks }, (_, row) => {
    const [x, y, w, h] = crops.subarray(4 * row, 4 * row + 4);
    const ends = runs.slice(offsets[row], offsets[row + 1]);
    for (let run = 1; run < ends.length; run++) ends[run] += ends[run - 1];
    const total = ends.length ? ends[ends.length - 1] : 0;
    if (total !== w * h) throw new WireError(`mask ${row} has ${total} pixels, its crop is ${w}x${h}`);
    return { x, y, w, h, ends };
  });
}

/**
 * @param {Map<string, {entry: any, body: Uint8Array}>} buffers
 * @param {string} name
 * @param {string} encoding
 * @returns {Uint32Array}
 */
function readWords(buffers, name, encoding) {
  const found = buffers.get(name);
  if (!found?.body) throw new WireError(`buffer '${name}' is missing`);
  const { entry, body } = found;
  if (entry.encoding !== encoding || entry.dtype !== "<u4" || entry.compression !== "none") {
    throw new WireError(`buffer '${name}' is ${entry.encoding} ${entry.dtype}, ${encoding} <u4 is required`);
  }
  if (body.length % 4) throw new WireError(`buffer '${name}' has ${body.length} bytes, not a multiple of 4`);
  // A copy, because words must be aligned to four bytes; every machine with a browser is little-endian.
  return new Uint32Array(body.slice().buffer);
}
