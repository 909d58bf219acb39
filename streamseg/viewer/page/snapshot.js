/** Saves what is shown: the picture as PNG, its header as JSON. */

/**
 * @param {string} source
 * @param {{index: number, png: Blob, json: Blob}} shown
 * @returns {string} The files' common name.
 */
export function saveSnapshot(source, { index, png, json }) {
  const name = `${source}-${String(index).padStart(6, "0")}`;
  download(png, `${name}.png`);
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
