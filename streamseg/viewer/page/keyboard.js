/** Keyboard shortcuts of the whole page; those of a focused tile are in its gestures. */

/**
 * @typedef {object} Commands
 * @property {() => void} togglePause
 * @property {() => void} step
 * @property {() => void} snapshot
 * @property {() => void} toggleEverything
 * @property {() => void} escape
 * @property {() => void} removeSelected
 * @property {() => void} renameSelected
 * @property {(by: number) => void} selectNext
 * @property {(position: number) => void} selectAt
 * @property {(by: number) => void} showNext
 * @property {() => void} toggleGrid
 * @property {() => void} describe
 * @property {() => void} help
 * @property {() => void} addSource
 */

/** @param {Commands} commands */
export function connectKeyboard(commands) {
  /** @type {Record<string, () => void>} */
  const keys = {
    " ": commands.togglePause,
    ".": commands.step,
    s: commands.snapshot,
    e: commands.toggleEverything,
    g: commands.toggleGrid,
    "/": commands.describe,
    "?": commands.help,
    a: commands.addSource,
    Escape: commands.escape,
    Delete: commands.removeSelected,
    Backspace: commands.removeSelected,
    F2: commands.renameSelected,
    ArrowDown: () => commands.selectNext(1),
    ArrowUp: () => commands.selectNext(-1),
    ArrowRight: () => commands.showNext(1),
    ArrowLeft: () => commands.showNext(-1),
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const target = /** @type {HTMLElement} */ (event.target);
    if (target.closest("dialog[open]")) return; // a closed one may keep the focus until the next frame
    if (target.matches("input, textarea, select")) {
      if (event.key === "Escape") target.blur();
      return;
    }
    // Space activates the focused button.
    if (event.key === " " && target.matches("button, summary, a, [role=tab], [role=switch]")) return;
    const command = /^[1-9]$/.test(event.key) ? () => commands.selectAt(Number(event.key) - 1) : keys[event.key];
    if (!command) return;
    event.preventDefault();
    command();
  });
}
