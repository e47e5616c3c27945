// The page opens without its server, where the browser can keep it: by the service worker in worker.js.

const WORKER = new URL("worker.js", import.meta.url).href;
const SCOPE = new URL("../", import.meta.url).href;

/** Have the browser keep the page. Without https, or where the reader lets no page keep anything, it does without. */
export async function keepPage() {
  try {
    if (!globalThis.isSecureContext || !navigator.serviceWorker) return;
    await navigator.serviceWorker.register(trusted(), { scope: SCOPE, updateViaCache: "none" });
  } catch (error) {
    console.info(`The page is not kept for a visit without its server: ${error.message}`);
  }
}

/** The one address that may become a script here, in the form that the page's policy wants. */
function trusted() {
  if (!globalThis.trustedTypes) return WORKER;
  return trustedTypes.createPolicy("worker", { createScriptURL: () => WORKER }).createScriptURL("");
}
