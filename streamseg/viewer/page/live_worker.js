/**
 * Everything between the server and the screen, beside the page: what the page is busy with, layout or a graph, keeps
 * no picture waiting. Of frames that wait, the newest wins.
 */

import { Connection } from "./connection.js";
import { makeFrame } from "./frame.js";
import { Painter } from "./painter.js";
import { readFrame, sourceOf } from "./wire.js";

/** @type {Map<string, Painter>} */
const painters = new Map();
/** Sources whose pictures are wanted; null: all of them, as the server takes it before it is told. @type {Set<string> | null} */
let wanted = null;
/** Bodies that wait to be decoded, by source. @type {Map<string, ArrayBuffer>} */
const waiting = new Map();
const busy = new Set();
/** Counts connections: what came by an earlier one is neither shown nor acknowledged. */
let numOpenings = 0;
/** @type {Connection} */
let connection;

/** @param {string} source @returns {Painter} Also of a source whose first frame is here before its place on the page. */
function painterOf(source) {
  const known = painters.get(source);
  if (known) return known;
  const painter = new Painter(
    source,
    (frame) => acknowledge(source, frame.seq, frame.opening),
    (drawn) => self.postMessage({ kind: "drawn", drawn }),
  );
  painters.set(source, painter);
  return painter;
}

/** @param {string} source @param {number} seq @param {number} opening */
function acknowledge(source, seq, opening) {
  if (opening === numOpenings) connection.send({ type: "ack", source, seq });
}

/** @param {ArrayBuffer} body */
function take(body) {
  let source;
  try {
    source = sourceOf(body);
  } catch (error) {
    self.postMessage({ kind: "failed", error: error.message });
    return;
  }
  waiting.set(source, body);
  if (!busy.has(source)) decodeAll(source);
}

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

/** @param {string} source @param {ArrayBuffer} body */
async function decode(source, body) {
  const opening = numOpenings;
  let seq;
  try {
    const packed = readFrame(body);
    seq = packed.header.seq;
    const bitmap = packed.jpeg && (await createImageBitmap(new Blob([packed.jpeg], { type: "image/jpeg" })));
    const isWanted = wanted === null || wanted.has(source);
    if (opening === numOpenings && isWanted) painterOf(source).show(makeFrame(packed, bitmap, opening));
    else bitmap?.close();
  } catch (error) {
    // Not swallowed: the page shows it, and the server does not wait for it for ever.
    self.postMessage({ kind: "failed", error: `${source}: a frame could not be read: ${error.message}` });
    if (seq !== undefined) acknowledge(source, seq, opening);
  }
}

/** @type {import("./connection.js").Listener} */
const listener = {
  opened: () => {
    numOpenings += 1;
    self.postMessage({ kind: "opened" });
  },
  lost: (waitMs, wasOpen) => self.postMessage({ kind: "lost", waitMs, wasOpen }),
  told: (message) => self.postMessage({ kind: "told", message }),
  framed: take,
};

/** @param {number} id @param {Promise<any>} result Its answer goes to the page. */
async function answer(id, result) {
  try {
    self.postMessage({ kind: "answer", id, result: await result });
  } catch (error) {
    self.postMessage({ kind: "answer", id, error: error.message });
  }
}

/** What the page says, by its kind; see `Live`. @type {Record<string, (message: any) => void>} */
const commands = {
  connect: ({ url }) => (connection = new Connection(url, listener)),
  retry: () => connection.retry(),
  call: ({ id, op, args }) => answer(id, connection.call(op, args)),
  view: ({ sources }) => {
    wanted = new Set(sources);
    for (const [source, painter] of painters) if (!wanted.has(source)) painter.forget();
    connection.send({ type: "view", sources });
  },
  attach: ({ source, canvas }) => painterOf(source).attach(canvas),
  detach: ({ source }) => {
    painters.get(source)?.forget();
    painters.delete(source);
  },
  resize: ({ source, size }) => painterOf(source).resize(size),
  wish: ({ source, wish }) => painterOf(source).look(wish),
  taken: ({ source }) => painters.get(source)?.taken(),
  snapshot: ({ id, source }) => answer(id, painterOf(source).snapshot()),
};

self.addEventListener("message", ({ data }) => commands[data.kind](data));
