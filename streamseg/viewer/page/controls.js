/** Actions of buttons and keys. */

import { connectKeyboard } from "./keyboard.js";
import { saveSnapshot } from "./snapshot.js";

/** @param {string} id @returns {any} */
const byId = (id) => document.getElementById(id);

/**
 * @typedef {object} Page Parts of the page that the controls use.
 * @property {import("./stage.js").Stage} stage
 * @property {import("./live.js").Live} live
 * @property {import("./prompt_store.js").PromptStore} store
 * @property {{everything: boolean}} options
 * @property {import("./notice.js").Notice} notice
 * @property {(call: import("./prompt_store.js").Call) => Promise<boolean>} call
 * @property {(id: string | null) => void} select
 * @property {(id: string) => void} rename Edit a prompt's name.
 * @property {() => void} addSource Open the form that adds a source.
 * @property {() => boolean} isPaused
 * @property {(paused: boolean) => void} showPaused
 */

/** @param {Page} page @returns {import("./keyboard.js").Commands} */
function commandsOf({ stage, live, store, options, notice, call, select, rename, addSource, isPaused, showPaused }) {
  /** @param {boolean} wanted */
  const pause = async (wanted) => {
    if (await call({ op: wanted ? "pause" : "resume", args: {} })) showPaused(wanted);
  };
  return {
    togglePause: () => pause(!isPaused()),
    step: () => (isPaused() ? call({ op: "step", args: {} }) : pause(true)),
    snapshot: async () => {
      const { active } = stage;
      if (!stage.activeTile?.frame) notice.show("No frame to save yet.");
      else notice.show(`Saved ${saveSnapshot(active, await live.snapshot(active))}.png and .json`, "done");
    },
    toggleEverything: () => {
      options.everything = !options.everything;
      byId("everything").setAttribute("aria-checked", String(options.everything));
      stage.invalidate();
    },
    escape: () => {
      const isDragging = [...stage.tiles.values()].some((tile) => tile.gestures.cancel());
      if (!isDragging) select(null);
    },
    removeSelected: () => {
      if (store.selected) call({ op: "prompts.clear", args: { ids: [store.selected.id] } });
      else notice.show("Select a prompt to delete it.");
    },
    renameSelected: () => {
      if (store.selected) rename(store.selected.id);
      else notice.show("Select a prompt to rename it.");
    },
    selectAt: (position) => store.prompts[position] && select(store.prompts[position].id),
    selectNext: (by) => {
      const { prompts } = store;
      if (!prompts.length) return;
      const at = prompts.findIndex(({ id }) => id === store.selectedId);
      const next = at < 0 && by < 0 ? prompts.length - 1 : (at + by + prompts.length) % prompts.length;
      select(prompts[next].id);
    },
    showNext: (by) => stage.activateNext(by),
    toggleGrid: () => stage.toggleGrid(),
    describe: () => byId("text").focus(),
    help: () => byId("help").showModal(),
    addSource,
  };
}

/** @param {Page} page */
export function connectControls(page) {
  const { stage, store, call } = page;
  const commands = commandsOf(page);
  connectKeyboard(commands);
  byId("pause").addEventListener("click", commands.togglePause);
  byId("step").addEventListener("click", commands.step);
  byId("snapshot").addEventListener("click", commands.snapshot);
  byId("everything").addEventListener("click", commands.toggleEverything);
  byId("help-button").addEventListener("click", commands.help);
  byId("add-source").addEventListener("click", commands.addSource);
  byId("clear").addEventListener("click", () => {
    if (store.prompts.length) call({ op: "prompts.clear", args: { ids: store.prompts.map(({ id }) => id) } });
  });
  byId("describe").addEventListener("submit", async (event) => {
    event.preventDefault();
    const field = byId("text");
    const text = field.value.trim();
    if (text && (await call(store.textCall(text, stage.isGrid ? null : stage.active)))) field.value = "";
  });
}
