/** What buttons and keys do. */

import { connectKeyboard } from "./keyboard.js";
import { saveSnapshot } from "./snapshot.js";

/** @param {string} id @returns {any} */
const byId = (id) => document.getElementById(id);

/**
 * @typedef {object} Page What the controls act on.
 * @property {import("./stage.js").Stage} stage
 * @property {import("./live.js").Live} live
 * @property {import("./prompts.js").PromptBook} book
 * @property {{everything: boolean}} options
 * @property {import("./notice.js").Notice} notice
 * @property {(call: import("./prompts.js").Call) => Promise<boolean>} ask
 * @property {(id: string | null) => void} select
 * @property {(id: string) => void} rename Ask for a prompt's name.
 * @property {() => boolean} isPaused
 * @property {(paused: boolean) => void} showPaused
 */

/** @param {Page} page @returns {import("./keyboard.js").Commands} */
function commandsOf({ stage, live, book, options, notice, ask, select, rename, isPaused, showPaused }) {
  /** @param {boolean} wanted */
  const pause = async (wanted) => {
    if (await ask({ op: wanted ? "pause" : "resume", args: {} })) showPaused(wanted);
  };
  return {
    togglePause: () => pause(!isPaused()),
    step: () => (isPaused() ? ask({ op: "step", args: {} }) : pause(true)),
    snapshot: async () => {
      const { active } = stage;
      if (!stage.activeTile?.frame) notice.show("There is no picture to save yet.");
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
      if (book.selected) ask({ op: "prompts.clear", args: { ids: [book.selected.id] } });
      else notice.show("Select a prompt to delete it.");
    },
    renameSelected: () => {
      if (book.selected) rename(book.selected.id);
      else notice.show("Select a prompt to rename it.");
    },
    selectAt: (position) => book.prompts[position] && select(book.prompts[position].id),
    selectNext: (by) => {
      const { prompts } = book;
      if (!prompts.length) return;
      const at = prompts.findIndex(({ id }) => id === book.selectedId);
      const next = at < 0 && by < 0 ? prompts.length - 1 : (at + by + prompts.length) % prompts.length;
      select(prompts[next].id);
    },
    showNext: (by) => stage.activateNext(by),
    toggleGrid: () => stage.toggleGrid(),
    describe: () => byId("text").focus(),
    help: () => byId("help").showModal(),
  };
}

/** @param {Page} page */
export function connectControls(page) {
  const { stage, book, ask } = page;
  const commands = commandsOf(page);
  connectKeyboard(commands);
  byId("pause").addEventListener("click", commands.togglePause);
  byId("step").addEventListener("click", commands.step);
  byId("snapshot").addEventListener("click", commands.snapshot);
  byId("everything").addEventListener("click", commands.toggleEverything);
  byId("help-button").addEventListener("click", commands.help);
  byId("clear").addEventListener("click", () => {
    if (book.prompts.length) ask({ op: "prompts.clear", args: { ids: book.prompts.map(({ id }) => id) } });
  });
  byId("describe").addEventListener("submit", async (event) => {
    event.preventDefault();
    const field = byId("text");
    const text = field.value.trim();
    if (text && (await ask(book.described(text, stage.isGrid ? null : stage.active)))) field.value = "";
  });
}
