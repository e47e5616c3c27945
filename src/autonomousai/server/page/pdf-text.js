// The text of a PDF, by pdf.js: this file and that library are loaded when the first PDF is attached. It is read in a worker, which
// is the page's own file; nothing of the document is drawn, and no script in it runs.

import { getDocument, GlobalWorkerOptions } from "./vendor/pdfjs/pdf.min.mjs";

const WORKER = new URL("./vendor/pdfjs/pdf.worker.min.mjs", import.meta.url).href;

GlobalWorkerOptions.workerPort = new Worker(trusted(), { type: "module" });

/** The one address that may become a worker here, in the form that the page's policy wants. */
function trusted() {
  if (!globalThis.trustedTypes) return WORKER;
  return trustedTypes.createPolicy("pdf", { createScriptURL: () => WORKER }).createScriptURL("");
}

/** The text of all pages, an empty line between them; no more than a page after `longest` characters. */
export async function pdfText(data, longest) {
  const loading = getDocument({ data, disableFontFace: true, useSystemFonts: false, useWasm: false, verbosity: 0 });
  try {
    const document = await loading.promise;
    const pages = [];
    for (let page = 1, length = 0; page <= document.numPages && length <= longest; page += 1) {
      const text = await pageText(await document.getPage(page));
      length += text.length;
      if (text) pages.push(text);
    }
    return pages.join("\n\n");
  } finally {
    await loading.destroy();
  }
}

async function pageText(page) {
  const { items } = await page.getTextContent();
  const text = items.map(({ str, hasEOL }) => str + (hasEOL ? "\n" : "")).join("");
  page.cleanup();
  return text.trim();
}
