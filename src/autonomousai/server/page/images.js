// Images to be seen by a model: files become data URLs, within bounds that a server's own bound on bodies (20 MB) leaves room for.

const KINDS = ["image/png", "image/jpeg", "image/webp", "image/gif"];
const LARGEST = 5_000_000;
const LARGEST_IN_ALL = 12_000_000;

/** What a file cannot be attached for, in words. */
export class ImageError extends Error {}

/** The data URL of an image file; `others`: those that the conversation holds already. Throws `ImageError`. */
export async function dataUrlOf(file, others) {
  if (!KINDS.includes(file.type)) throw new ImageError(`“${file.name}” is no PNG, JPEG, WebP or GIF image.`);
  if (file.size > LARGEST) {
    throw new ImageError(`“${file.name}” has ${megabytes(file.size)}; at most ${megabytes(LARGEST)} can be sent. A smaller copy will do.`);
  }
  const before = others.reduce((sum, url) => sum + url.length * 0.75, 0);
  if (before + file.size > LARGEST_IN_ALL) {
    throw new ImageError(`The images of this conversation would have more than ${megabytes(LARGEST_IN_ALL)} together. Begin a new one for more.`);
  }
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new ImageError(`“${file.name}” cannot be read.`));
    reader.readAsDataURL(file);
  });
}

const megabytes = (bytes) => `${(bytes / 1_000_000).toFixed(bytes % 1_000_000 ? 1 : 0)} MB`;
