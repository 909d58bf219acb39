/** Saves the displayed frame: the image as PNG, its header as JSON. */

/**
 * @param {string} source
 * @param {{index: number, png: Blob, json: Blob}} frame
 * @returns {string} Common name of the files, without extension.
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
  // Once it has started, the download holds the data itself.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
