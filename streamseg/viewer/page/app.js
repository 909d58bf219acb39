/**
 * The page: connects the server, the pictures, the prompts and the controls.
 *
 *   live_worker: connection ─► wire ─► mask ─► frame ─► painter: look ─► draw ─► acknowledged
 *        ║ ▲
 *       live ─► stage ─► tile     health: meter ─► graph     prompt_list
 *        ▲
 *   gestures, keyboard, controls ─► prompts
 *
 * Beside ║ is another thread, in which no picture waits for the page. Modules hold no state but the objects that are
 * made here.
 */

import { connectControls } from "./controls.js";
import { Health } from "./health.js";
import { Live } from "./live.js";
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
/** How soon the list tells what frames say about prompts. */
const LIST_MS = 200;
let isPaused = false;
let listTimer = 0;

const list = new PromptList(byId("prompts"), byId("prompts-empty"), {
  chosen: (id) => select(book.selectedId === id ? null : id),
  removed: (id) => ask({ op: "prompts.clear", args: { ids: [id] } }),
  stepped: (id) => ask({ op: "prompts.step", args: { id } }),
  renamed: (id, name) => ask({ op: "prompts.rename", args: { id, name } }),
});

const stage = new Stage(
  { stage: byId("stage"), tabs: byId("tabs"), gridButton: byId("grid") },
  (source) =>
    new Tile(source, live, book, options, {
      tapped: (tile, tap) => tapped(tile, tap),
      boxed: (tile, box, frame) => ask(book.boxed(box, frame)),
      chosen: (tile) => stage.activate(tile.source),
    }),
  () => {
    live.view(stage.shown);
    health.watch(stage.active);
    showPrompts();
  },
);

const address = new URL("/ws", location.href);
address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
address.searchParams.set("token", new URLSearchParams(location.search).get("token") ?? "");
const live = new Live(address.href, {
  opened: () => showConnection("live", "Connected"),
  lost: (waitMs, wasOpen) => {
    const again = `trying again in ${waitMs < 1000 ? "a moment" : `${Math.round(waitMs / 1000)} s`}`;
    const why = wasOpen || health.hasFigures ? "Connection lost" : "Not reachable, or the address has a wrong token";
    showConnection("lost", `${why}; ${again}`);
    for (const tile of stage.tiles.values()) tile.say(`${why}; this picture is old`, true);
  },
  told: read,
  drawn,
  failed: (error) => notice.show(error),
});
// What comes back from sleep or a network change should not wait out a long pause.
addEventListener("online", () => live.retry());

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
    book.rename(message.names ?? {});
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

/** @param {import("./live.js").Drawn} shown */
function drawn(shown) {
  const { source, frame, samples } = shown;
  const tile = stage.tiles.get(source);
  if (!tile) return;
  tile.shown(shown);
  health.drawn(source, samples);
  if (frame) book.note(source, frame.statuses);
  listTimer ||= setTimeout(showPrompts, LIST_MS);
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
    const result = await live.call(op, args);
    if (result?.prompts) book.serve(result.prompts);
    if (result?.names) book.rename(result.names);
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
  clearTimeout(listTimer);
  listTimer = 0;
  const rows = book.prompts.map((prompt) => ({
    prompt,
    name: book.nameOf(prompt.id),
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

connectControls({ stage, live, book, options, notice, ask, select, rename: (id) => list.rename(id), isPaused: () => isPaused, showPaused });
connectTheme(byId("theme"), () => health.draw());
byId("retry").addEventListener("click", () => live.retry());
