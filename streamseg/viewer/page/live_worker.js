/**
 * The worker between the server and the screen. It runs in a thread of its own, so that no frame waits for the page,
 * for example for its layout or its graph. Of waiting frames, the newest wins.
 */

import { Connection } from "./connection.js";
import { makeFrame } from "./frame.js";
import { Painter } from "./painter.js";
import { readFrame, sourceOf } from "./wire.js";

/** @type {Map<string, Painter>} */
const painters = new Map();
/** Sources to receive; null: all, which is the server's default. @type {Set<string> | null} */
let wanted = null;
/** Bodies that wait to be decoded, by source. @type {Map<string, ArrayBuffer>} */
const waiting = new Map();
const busy = new Set();
/** Counts connections: frames of an earlier connection are neither displayed nor acknowledged. */
let numConnections = 0;
/** @type {Connection} */
let connection;

/** @param {string} source @returns {Painter} Also for a source whose first frame arrives before its tile exists. */
function painterOf(source) {
  const known = painters.get(source);
  if (known) return known;
  const painter = new Painter(
    source,
    (frame) => acknowledge(source, frame.seq, frame.connectionNumber),
    (drawn) => self.postMessage({ kind: "drawn", drawn }),
  );
  painters.set(source, painter);
  return painter;
}

/** @param {string} source @param {number} seq @param {number} connectionNumber */
function acknowledge(source, seq, connectionNumber) {
  if (connectionNumber === numConnections) connection.send({ type: "ack", source, seq });
}

/** @param {ArrayBuffer} body */
function receive(body) {
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
  const connectionNumber = numConnections;
  let seq;
  try {
    const packed = readFrame(body);
    seq = packed.header.seq;
    const bitmap = packed.jpeg && (await createImageBitmap(new Blob([packed.jpeg], { type: "image/jpeg" })));
    const isWanted = wanted === null || wanted.has(source);
    if (connectionNumber === numConnections && isWanted) painterOf(source).show(makeFrame(packed, bitmap, connectionNumber));
    else bitmap?.close();
  } catch (error) {
    // The page displays the error, and the acknowledgement keeps the server from waiting forever.
    self.postMessage({ kind: "failed", error: `${source}: a frame could not be read: ${error.message}` });
    if (seq !== undefined) acknowledge(source, seq, connectionNumber);
  }
}

/** @type {import("./connection.js").Listener} */
const listener = {
  opened: () => {
    numConnections += 1;
    self.postMessage({ kind: "opened" });
  },
  lost: (waitMs) => self.postMessage({ kind: "lost", waitMs }),
  message: (message) => self.postMessage({ kind: "message", message }),
  frame: receive,
};

/** @param {number} id @param {Promise<any>} result Posted to the page once it is available. */
async function reply(id, result) {
  try {
    self.postMessage({ kind: "reply", id, result: await result });
  } catch (error) {
    self.postMessage({ kind: "reply", id, error: error.message });
  }
}

/** Handlers of the page's messages, by kind; see `Live`. @type {Record<string, (message: any) => void>} */
const handlers = {
  connect: ({ url }) => (connection = new Connection(url, listener)),
  retry: () => connection.retry(),
  call: ({ id, op, args }) => reply(id, connection.call(op, args)),
  view: ({ sources }) => {
    wanted = new Set(sources);
    for (const [source, painter] of painters) if (!wanted.has(source)) painter.discardNext();
    connection.send({ type: "view", sources });
  },
  attach: ({ source, canvas }) => painterOf(source).attach(canvas),
  detach: ({ source }) => {
    painters.get(source)?.discardNext();
    painters.delete(source);
  },
  resize: ({ source, size }) => painterOf(source).resize(size),
  configure: ({ source, settings }) => painterOf(source).configure(settings),
  ready: ({ source }) => painters.get(source)?.ready(),
  snapshot: ({ id, source }) => reply(id, painterOf(source).snapshot()),
};

self.addEventListener("message", ({ data }) => handlers[data.kind](data));
