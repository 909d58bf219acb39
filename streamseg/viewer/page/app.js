/**
 * The page: connects the server, the frames, the prompts and the controls.
 *
 *   live_worker: connection ─► wire ─► mask ─► frame ─► painter: overlay ─► draw ─► acknowledgement
 *        ║ ▲
 *       live ─► stage ─► tile     health: meter ─► graph     prompt_list
 *        ▲
 *   gestures, keyboard, controls ─► prompt_store     source_list, source_form, sink_list
 *
 * Above ║ is another thread, in which no frame waits for the page. Modules hold no state except the objects created
 * here.
 */

import { connectControls } from "./controls.js";
import { Health } from "./health.js";
import { Live } from "./live.js";
import { Notice } from "./notice.js";
import { PromptList } from "./prompt_list.js";
import { PromptStore } from "./prompt_store.js";
import { SinkList } from "./sink_list.js";
import { SourceForm } from "./source_form.js";
import { SourceList } from "./source_list.js";
import { describeState } from "./source_state.js";
import { Stage } from "./stage.js";
import { connectTheme } from "./theme.js";
import { Tile } from "./tile.js";

/** @param {string} id @returns {any} */
const byId = (id) => document.getElementById(id);

const options = { everything: true };
const store = new PromptStore();
const notice = new Notice(byId("notice"));
const health = new Health(byId("health"));
/** Delay after which the list displays the prompt statuses of new frames. */
const LIST_MS = 200;
let isPaused = false;
/** Whether every source had ended when the last status arrived. */
let hasEnded = false;
/** Whether the page was ever connected, so that its token is right. */
let wasConnected = false;
let listTimer = 0;
/** Statistics by source. @type {Map<string, any>} */
const sourceStats = new Map();

const list = new PromptList(byId("prompts"), byId("prompts-empty"), {
  onSelect: (id) => select(store.selectedId === id ? null : id),
  onRemove: (id) => call({ op: "prompts.clear", args: { ids: [id] } }),
  onStep: (id) => call({ op: "prompts.step", args: { id } }),
  onRename: (id, name) => call({ op: "prompts.rename", args: { id, name } }),
});

const sinks = new SinkList(byId("outputs"));
const sourceList = new SourceList(byId("sources"), {
  onSelect: (id) => stage.activate(id),
  onRestart: (id) => changeSource("sources.restart", id, `Restarted ${id}`),
  onRemove: (id) => changeSource("sources.remove", id, `Removed ${id}`),
});
const sourceForm = new SourceForm(byId("source-dialog"), (op, args) => live.call(op, args), (id) => notice.show(`Added ${id}`, "done"));

const stage = new Stage(
  { stage: byId("stage"), tabs: byId("tabs"), gridButton: byId("grid") },
  (source) =>
    new Tile(source, live, store, options, {
      onTap: (tile, tap) => handleTap(tile, tap),
      onBox: (tile, box, frame) => call(store.boxCall(box, frame)),
      onFocus: (tile) => stage.activate(tile.source),
    }),
  () => {
    live.view(stage.visible);
    health.watch(stage.active);
    showPrompts();
    showSources();
  },
);

const address = new URL("/ws", location.href);
address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
address.searchParams.set("token", new URLSearchParams(location.search).get("token") ?? "");
const live = new Live(address.href, {
  opened: () => {
    hasEnded = false;
    wasConnected = true;
    showConnection("live", "Connected");
  },
  lost: (waitMs) => {
    const next = `retrying in ${waitMs < 1000 ? "a moment" : `${Math.round(waitMs / 1000)} s`}`;
    if (hasEnded) {
      showConnection("ended", "The run has ended; waiting for the next one");
      for (const tile of stage.tiles.values()) tile.setNote("The source has ended; this is its last image.", false);
      return;
    }
    const reason = wasConnected ? "Connection lost" : "Server not reachable, or wrong token in the address";
    showConnection("lost", `${reason}; ${next}`);
    for (const tile of stage.tiles.values()) tile.setNote(`${reason}; this image is outdated`, true);
  },
  message: handleMessage,
  drawn: handleDrawn,
  failed: (error) => notice.show(error),
});
// After sleep or a network change, do not wait for the end of a long delay.
addEventListener("online", () => live.retry());

/** @param {any} message */
function handleMessage(message) {
  if (message.type === "hello") {
    for (const tile of stage.tiles.values()) tile.setNote(null, false);
    stage.setSources(message.sources.map(({ id }) => id));
  } else if (message.type === "role") {
    document.body.dataset.role = message.role;
  } else if (message.type === "status") {
    showPaused(message.is_paused);
    health.setStats(message);
    const sources = message.sources ?? [];
    hasEnded = sources.length > 0 && sources.every((/** @type {any} */ { state }) => state === "ended");
    for (const source of sources) showSource(source);
    showSources();
    sinks.show(message.sinks ?? [], Date.now());
  } else if (message.type === "prompts") {
    store.setPrompts(message.prompts);
    store.setNames(message.names ?? {});
    stage.invalidate();
    showPrompts();
  } else if (message.type === "error") {
    notice.show(message.error);
  }
}

/** @param {any} stats Statistics of one source. */
function showSource(stats) {
  const { source_id: source, state, state_seconds: seconds, error, silent_seconds: age } = stats;
  const [text, isStale] = describeState(state, seconds, error, age);
  stage.tiles.get(source)?.setNote(text, isStale);
  const before = sourceStats.get(source)?.state;
  sourceStats.set(source, stats);
  // Screen readers announce changes of the state only, because the time in it changes every second.
  if (before !== undefined && before !== state) byId("announcer").textContent = `${source}: ${text ?? "live"}`;
}

function showSources() {
  const sources = [...stage.tiles.keys()].map((id) => ({ id, stats: sourceStats.get(id) ?? null }));
  sourceList.show(sources, stage.active);
  const numLive = sources.filter(({ stats }) => stats?.state === "live").length;
  byId("sources-live").textContent = sourceStats.size ? `${numLive} of ${sources.length} live` : "";
}

/** @param {string} op @param {string} id @param {string} done Confirmation. */
async function changeSource(op, id, done) {
  if (await call({ op, args: { id } })) notice.show(done, "done");
}

async function addSource() {
  try {
    await sourceForm.open();
  } catch (error) {
    notice.show(error.message);
  }
}

/** @param {import("./live.js").Drawn} drawn */
function handleDrawn(drawn) {
  const { source, frame, samples } = drawn;
  const tile = stage.tiles.get(source);
  if (!tile) return;
  tile.update(drawn);
  health.add(source, samples);
  if (frame) store.setStatuses(source, frame.statuses);
  listTimer ||= setTimeout(showPrompts, LIST_MS);
}

/** @param {Tile} tile @param {any} tap */
function handleTap(tile, tap) {
  stage.activate(tile.source);
  const action = store.handleTap(tap, performance.now());
  if (typeof action === "string") notice.show(action);
  else if (action) call(action);
  else select(store.selectedId);
}

/** @param {import("./prompt_store.js").Call} call @returns {Promise<boolean>} Whether it succeeded. */
async function call({ op, args, prompt }) {
  if (prompt) store.addPending(prompt);
  showPrompts();
  try {
    const result = await live.call(op, args);
    if (result?.prompts) store.setPrompts(result.prompts);
    if (result?.names) store.setNames(result.names);
    if (result?.warning) notice.show(result.warning);
    return true;
  } catch (error) {
    notice.show(error.message);
    return false;
  } finally {
    if (prompt) store.removePending(prompt.id);
    stage.invalidate();
    showPrompts();
  }
}

function showPrompts() {
  clearTimeout(listTimer);
  listTimer = 0;
  const rows = store.prompts.map((prompt) => ({
    prompt,
    name: store.nameOf(prompt.id),
    status: store.statusOf(prompt, stage.active ?? ""),
    isSelected: prompt.id === store.selectedId,
  }));
  list.show(rows, stage.tiles.size > 1);
}

/** @param {string | null} id */
function select(id) {
  store.selectedId = id;
  stage.invalidate();
  showPrompts();
}

/** @param {"live" | "lost" | "ended"} state @param {string} text */
function showConnection(state, text) {
  byId("connection").dataset.state = state;
  byId("connection-text").textContent = text;
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

connectControls({ stage, live, store, options, notice, call, select, rename: (id) => list.rename(id), addSource, isPaused: () => isPaused, showPaused });
connectTheme(byId("theme"), () => health.draw());
byId("retry").addEventListener("click", () => live.retry());
