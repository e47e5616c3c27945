// Images to be seen by a model: files become data URLs, within bounds that a server's own bound on bodies (20 MB) leaves room for.

import { number, say } from "./words.js";

const KINDS = ["image/png", "image/jpeg", "image/webp", "image/gif"];
const LARGEST = 5_000_000;
const LARGEST_IN_ALL = 12_000_000;

/** What a file cannot be attached for, in words. */
export class ImageError extends Error {}

/** The data URL of an image file; `others`: those that the conversation holds already. Throws `ImageError`. */
export async function dataUrlOf(file, others) {
  if (!KINDS.includes(file.type)) throw new ImageError(say("noImage", file));
  if (file.size > LARGEST) {
    throw new ImageError(say("imageTooLarge", { name: file.name, size: megabytes(file.size), limit: megabytes(LARGEST) }));
  }
  const before = others.reduce((sum, url) => sum + url.length * 0.75, 0);
  if (before + file.size > LARGEST_IN_ALL) {
    throw new ImageError(say("imagesTooLarge", { limit: megabytes(LARGEST_IN_ALL) }));
  }
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new ImageError(say("unreadable", file)));
    reader.readAsDataURL(file);
  });
}

const megabytes = (bytes) => number(bytes / 1_000_000, bytes % 1_000_000 ? 1 : 0);
