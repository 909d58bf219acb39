/**
 * The page: connects the server, the pictures, the prompts and the controls.
 *
 *   connection ─► decoder ═► decoder_worker: wire ─► mask ─► frame ═► stage ─► tile ─► draw ─► acknowledged
 *   gestures, keyboard, controls ─► prompts ─► connection           tile ─► health: meter ─► graph
 *
 * ═► is to or from another thread. Modules hold no state but the objects that are made here.
 */

import { Connection } from "./connection.js";
import { connectControls } from "./controls.js";
import { Decoder } from "./decoder.js";
import { numDrops } from "./frame.js";
import { Health } from "./health.js";
import { Notice } from "./notice.js";
import { PromptList } from "./prompt_list.js";
import { PromptBook } from "./prompts.js";
import { Stage } from "./stage.js";
import { connectTheme } from "./theme.js";
import { Tile } from "./tile.js";

/** @param {string} id @returns {any} */
const byId = (id) => document.getElementById(id);

const options = { everything: true };
const book = new PromptBook();
const notice = new Notice(byId("notice"));
const health = new Health(byId("health"));
let isPaused = false;
/** Counts connections: what came by an earlier one is neither shown nor acknowledged. */
let numOpenings = 0;

const list = new PromptList(byId("prompts"), byId("prompts-empty"), {
  chosen: (id) => select(book.selectedId === id ? null : id),
  removed: (id) => ask({ op: "prompts.clear", args: { ids: [id] } }),
  stepped: (id) => ask({ op: "prompts.step", args: { id } }),
});

const stage = new Stage(
  { stage: byId("stage"), tabs: byId("tabs"), gridButton: byId("grid") },
  (source) =>
    new Tile(source, book, options, {
      drawn: acknowledge,
      tapped: (tile, tap) => tapped(tile, tap),
      boxed: (tile, box, frame) => ask(book.boxed(box, frame)),
      chosen: (tile) => stage.activate(tile.source),
    }),
  () => {
    connection.send({ type: "view", sources: stage.shown });
    health.watch(stage.active);
    showPrompts();
  },
);

const decoder = new Decoder(
  (frame) => {
    const tile = stage.tiles.get(frame.source);
    if (tile && !tile.element.hidden && frame.opening === numOpenings) tile.show(frame);
    else frame.bitmap?.close();
  },
  ({ error, source, seq, opening }) => {
    notice.show(error);
    // Otherwise the server would wait for it for ever.
    if (seq !== undefined && opening === numOpenings) connection.send({ type: "ack", source, seq });
  },
);

const address = new URL("/ws", location.href);
address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
address.searchParams.set("token", new URLSearchParams(location.search).get("token") ?? "");
const connection = new Connection(address.href, {
  opened: () => {
    numOpenings += 1;
    showConnection("live", "Connected");
  },
  lost: (waitMs, wasOpen) => {
    const again = `trying again in ${waitMs < 1000 ? "a moment" : `${Math.round(waitMs / 1000)} s`}`;
    const why = wasOpen || health.hasFigures ? "Connection lost" : "Not reachable, or the address has a wrong token";
    showConnection("lost", `${why}; ${again}`);
    for (const tile of stage.tiles.values()) tile.say(`${why}; this picture is old`, true);
  },
  told: read,
  framed: (body) => decoder.decode(body, numOpenings),
});

/** @param {any} message */
function read(message) {
  if (message.type === "hello") {
    for (const tile of stage.tiles.values()) tile.say(null, false);
    stage.setSources(message.sources.map(({ id }) => id));
  } else if (message.type === "status") {
    showPaused(message.is_paused);
    health.tell(message);
    for (const source of message.sources ?? []) showSource(source);
  } else if (message.type === "prompts") {
    book.serve(message.prompts);
    stage.invalidate();
    showPrompts();
  } else if (message.type === "error") {
    notice.show(message.error);
  }
}

/** @param {any} figures Of one source. */
function showSource({ source_id: source, state, error, silent_seconds: silent }) {
  const tile = stage.tiles.get(source);
  if (state === "failed") tile?.say(error ?? "this source failed", true);
  else if (state === "ended") tile?.say("The source has ended.", false);
  else if (!isPaused && silent > 3) tile?.say(`No picture for ${Math.round(silent)} s`, true);
  else tile?.say(null, false);
}

/** @param {Tile} tile @param {import("./frame.js").Frame} frame */
function acknowledge({ source }, frame) {
  if (frame.opening === numOpenings) connection.send({ type: "ack", source, seq: frame.seq });
  health.drawn(source, frame, numDrops(frame.header));
  showPrompts();
}

/** @param {Tile} tile @param {any} tap */
function tapped(tile, tap) {
  stage.activate(tile.source);
  const call = book.tapped(tap, performance.now());
  if (typeof call === "string") notice.show(call);
  else if (call) ask(call);
  else select(book.selectedId);
}

/** @param {import("./prompts.js").Call} call @returns {Promise<boolean>} Whether it was done. */
async function ask({ op, args, prompt }) {
  if (prompt) book.ask(prompt);
  showPrompts();
  try {
    const result = await connection.call(op, args);
    if (result?.prompts) book.serve(result.prompts);
    return true;
  } catch (error) {
    notice.show(error.message);
    return false;
  } finally {
    if (prompt) book.settle(prompt.id);
    stage.invalidate();
    showPrompts();
  }
}

function showPrompts() {
  const rows = book.prompts.map((prompt) => ({
    prompt,
    status: book.statusOf(prompt, stage.active ?? ""),
    isSelected: prompt.id === book.selectedId,
  }));
  list.show(rows, stage.tiles.size > 1);
}

/** @param {string | null} id */
function select(id) {
  book.selectedId = id;
  stage.invalidate();
  showPrompts();
}

/** @param {"live" | "lost"} state @param {string} words */
function showConnection(state, words) {
  byId("connection").dataset.state = state;
  byId("connection-words").textContent = words;
  byId("retry").hidden = state === "live";
}

/** @param {boolean} paused */
function showPaused(paused) {
  isPaused = paused;
  document.body.classList.toggle("paused", paused);
  const label = paused ? "Resume" : "Pause";
  byId("pause").setAttribute("aria-label", label);
  byId("pause").title = `${label} (space)`;
  byId("pause").querySelector("use").setAttribute("href", paused ? "#icon-play" : "#icon-pause");
}

connectControls({ stage, book, options, notice, ask, select, isPaused: () => isPaused, showPaused });
connectTheme(byId("theme"));
byId("retry").addEventListener("click", () => connection.retry());
