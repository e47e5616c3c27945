// Images to be seen by a model: files become data URLs, within bounds that a server's own bound on bodies (20 MB) leaves room for.

import { number, say } from "./words.js";

/** What every model that sees can read; the embedded engine reads no WebP. */
const KINDS = ["image/png", "image/jpeg", "image/gif"];
const LARGEST = 5_000_000;
const LARGEST_IN_ALL = 12_000_000;

/** What a file cannot be attached for, in words. */
export class ImageError extends Error {}

/** The data URL of an image file; `others`: those that the conversation holds already. Throws `ImageError`. */
export async function dataUrlOf(file, others) {
  const image = file.size > LARGEST || KINDS.includes(file.type) ? file : await converted(file);
  if (image.size > LARGEST) {
    throw new ImageError(say("imageTooLarge", { name: file.name, size: megabytes(image.size), limit: megabytes(LARGEST) }));
  }
  const before = others.reduce((sum, url) => sum + url.length * 0.75, 0);
  if (before + image.size > LARGEST_IN_ALL) {
    throw new ImageError(say("imagesTooLarge", { limit: megabytes(LARGEST_IN_ALL) }));
  }
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new ImageError(say("unreadable", file)));
    reader.readAsDataURL(image);
  });
}

/** An image of another kind (WebP, AVIF, BMP), which this browser can read, as PNG; as JPEG where that would be too large. */
async function converted(file) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) throw new ImageError(say("noImage", file));
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const png = await canvas.convertToBlob({ type: "image/png" });
  if (png.size <= LARGEST) return png;
  context.globalCompositeOperation = "destination-over"; // white behind what is transparent: JPEG would make it black
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  return canvas.convertToBlob({ type: "image/jpeg", quality: 0.9 });
}

const megabytes = (bytes) => number(bytes / 1_000_000, bytes % 1_000_000 ? 1 : 0);
