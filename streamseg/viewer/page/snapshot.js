/** Saves what is shown: the picture as PNG, its header as JSON. */

/**
 * @param {import("./tile.js").Tile} tile With a frame.
 * @returns {Promise<string>} The files' common name.
 */
export async function saveSnapshot(tile) {
  const { source, header, index } = tile.frame;
  const name = `${source}-${String(index).padStart(6, "0")}`;
  const json = new Blob([JSON.stringify(header, null, 2), "\n"], { type: "application/json" });
  download(await tile.snapshot(), `${name}.png`);
  download(json, `${name}.json`);
  return name;
}

/** @param {Blob} blob @param {string} name */
function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // The download holds the data by itself once it has begun.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
