// Files whose text goes with a question: read here, in the browser, within bounds. What is no text and no PDF is refused.

import { number, say } from "./words.js";

const LARGEST_TEXT = 5_000_000;
const LARGEST_PDF = 30_000_000;

/** Characters of all files on a conversation's path: what is more is read by no model, and by few servers. */
const LONGEST_IN_ALL = 2_000_000;

/** What a file cannot be attached for, in words. */
export class FileError extends Error {}

/** `{name, size, text}` of a file; `before`: characters of those that the conversation holds already. Throws `FileError`. */
export async function textFileOf(file, before) {
  const { name, size } = file;
  const isPdf = (await bytesOf(file.slice(0, 5), name)).every((byte, index) => byte === "%PDF-".charCodeAt(index)) && size > 5;
  const limit = isPdf ? LARGEST_PDF : LARGEST_TEXT;
  if (size > limit) throw new FileError(say("fileTooLarge", { name, size: sizeOf(size), limit: sizeOf(limit) }));
  const bytes = await bytesOf(file, name);
  const text = isPdf ? await textOfPdf(name, bytes) : decoded(name, bytes);
  if (!text.trim()) throw new FileError(say(isPdf ? "pdfWithoutText" : "fileEmpty", { name }));
  if (before + text.length > LONGEST_IN_ALL) throw new FileError(say("filesTooLong", { name, limit: LONGEST_IN_ALL }));
  return { name, size, text };
}

/** A text that was pasted, as a file. */
export function pastedFile(text, count) {
  return { name: say("pastedName", { number: count }), size: new Blob([text]).size, text };
}

/** The text of a question behind its files, each between tags that name it; as the command line has it. */
export function withFiles(files, text) {
  const parts = files.map((file) => `<file name="${file.name.replaceAll('"', "'")}">\n${file.text}\n</file>`);
  return [...parts, ...(text ? [text] : [])].join("\n\n");
}

/** A size in words: "12 KB". */
export function sizeOf(bytes) {
  const [unit, name] = bytes < 1000 ? [1, "B"] : bytes < 1_000_000 ? [1000, "KB"] : [1_000_000, "MB"];
  const value = bytes / unit;
  return `${number(value, value < 10 && value % 1 >= 0.05 ? 1 : 0)} ${name}`;
}

async function bytesOf(blob, name) {
  try {
    return new Uint8Array(await blob.arrayBuffer());
  } catch {
    throw new FileError(say("unreadable", { name })); // it has gone meanwhile, or is a folder
  }
}

/** UTF-8; UTF-16 where a mark says so; else what Windows wrote before there was Unicode. */
function decoded(name, bytes) {
  const [first, second] = bytes;
  const utf16 = first === 0xff && second === 0xfe ? "utf-16le" : first === 0xfe && second === 0xff ? "utf-16be" : null;
  if (!utf16 && bytes.some((byte) => byte < 9 || (byte > 13 && byte < 27))) throw new FileError(say("fileBinary", { name }));
  for (const encoding of utf16 ? [utf16] : ["utf-8", "windows-1252"]) {
    try {
      return new TextDecoder(encoding, { fatal: true }).decode(bytes).replaceAll("\r\n", "\n");
    } catch {
      continue;
    }
  }
  throw new FileError(say("fileBinary", { name }));
}

async function textOfPdf(name, bytes) {
  let library;
  try {
    library = await import("./pdf-text.js");
  } catch {
    throw new FileError(say("pdfUnloaded", { name }));
  }
  try {
    return await library.pdfText(bytes, LONGEST_IN_ALL);
  } catch (error) {
    throw new FileError(say(error.name === "PasswordException" ? "pdfLocked" : "pdfDamaged", { name }));
  }
}
