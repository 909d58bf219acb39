/** Decodes messages beside the page, so that pointing stays smooth. Of messages that wait, the newest wins. */

import { makeFrame } from "./frame.js";
import { readFrame, sourceOf } from "./wire.js";

/** @type {Map<string, ArrayBuffer>} */
const waiting = new Map();
const busy = new Set();

self.addEventListener("message", ({ data: body }) => {
  let source;
  try {
    source = sourceOf(body);
  } catch (error) {
    self.postMessage({ error: error.message });
    return;
  }
  waiting.set(source, body);
  if (!busy.has(source)) decodeAll(source);
});

/** @param {string} source */
async function decodeAll(source) {
  busy.add(source);
  while (waiting.has(source)) {
    const body = waiting.get(source);
    waiting.delete(source);
    await decode(source, body);
  }
  busy.delete(source);
}

/**
 * @param {string} source
 * @param {ArrayBuffer} body
 */
async function decode(source, body) {
  let seq;
  try {
    const packed = readFrame(body);
    seq = packed.header.seq;
    const bitmap = packed.jpeg && (await createImageBitmap(new Blob([packed.jpeg], { type: "image/jpeg" })));
    const frame = makeFrame(packed, bitmap);
    const buffers = frame.objects.flatMap(({ mask, outline }) => [mask.ends.buffer, outline.buffer]);
    self.postMessage({ frame }, bitmap ? [...buffers, bitmap] : buffers);
  } catch (error) {
    // Not swallowed: the page shows it, and asks for the next frame.
    self.postMessage({ source, seq, error: `${source}: a frame could not be read: ${error.message}` });
  }
}
