/** Decodes messages beside the page, so that pointing stays smooth. Of messages that wait, the newest wins. */

import { makeFrame } from "./frame.js";
import { readFrame, sourceOf } from "./wire.js";

/** @typedef {{body: ArrayBuffer, opening: number}} Job */

/** @type {Map<string, Job>} */
const waiting = new Map();
const busy = new Set();

self.addEventListener("message", ({ data: job }) => {
  let source;
  try {
    source = sourceOf(job.body);
  } catch (error) {
    self.postMessage({ error: error.message });
    return;
  }
  waiting.set(source, job);
  if (!busy.has(source)) decodeAll(source);
});

/** @param {string} source */
async function decodeAll(source) {
  busy.add(source);
  while (waiting.has(source)) {
    const job = waiting.get(source);
    waiting.delete(source);
    await decode(source, job);
  }
  busy.delete(source);
}

/**
 * @param {string} source
 * @param {Job} job
 */
async function decode(source, { body, opening }) {
  let seq;
  try {
    const packed = readFrame(body);
    seq = packed.header.seq;
    const bitmap = packed.jpeg && (await createImageBitmap(new Blob([packed.jpeg], { type: "image/jpeg" })));
    const frame = makeFrame(packed, bitmap, opening);
    const buffers = frame.objects.flatMap(({ mask, outline }) => [mask.ends.buffer, outline.buffer]);
    self.postMessage({ frame }, bitmap ? [...buffers, bitmap] : buffers);
  } catch (error) {
    // Not swallowed: the page shows it, and asks for the next frame.
    self.postMessage({ source, seq, opening, error: `${source}: a frame could not be read: ${error.message}` });
  }
}
