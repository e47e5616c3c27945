// The service worker: with it the page opens while its server is away, and shows what is kept in this browser. It asks the server
// first, each time, so that nothing is ever older than the server; it knows the page's own files, and touches no other request.

const HERE = new URL("./", self.location.href).href; // ROOT/page/, wherever the server is mounted
const ROOT = new URL("../", self.location.href).href;
const SHELL = `${HERE}shell.json`;
const CACHE = `autonomousai ${new URL(ROOT).pathname} `;

/** What a proxy says when the server behind it is away. */
const AWAY = [502, 503, 504];

addEventListener("install", (event) => {
  self.skipWaiting();
  event.waitUntil(keepShell());
});

addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

addEventListener("fetch", (event) => {
  const { request } = event;
  const address = request.url.split(/[?#]/)[0];
  const isPage = request.mode === "navigate" && address === ROOT;
  if (request.method === "GET" && (isPage || address.startsWith(HERE))) event.respondWith(answer(event, address, isPage));
});

async function answer(event, address, isPage) {
  let response;
  try {
    response = await fetch(event.request);
  } catch {
    return (await kept(address)) ?? Response.error();
  }
  if (AWAY.includes(response.status)) return (await kept(address)) ?? response;
  if (isPage && response.ok) event.waitUntil(keepShell());
  return response;
}

async function kept(address) {
  for (const name of await ourCaches()) {
    const cache = await caches.open(name);
    if (await cache.match(SHELL)) return cache.match(address);
  }
}

const ourCaches = async () => (await caches.keys()).filter((name) => name.startsWith(CACHE));

/** Keep all files of the server's version, or leave what is kept. The list is put last: by it a set is known to be complete. */
async function keepShell() {
  try {
    const response = await fetch(SHELL, { cache: "no-cache" });
    if (response.status === 404) return await leave();
    const list = response.clone();
    const { version, files } = await response.json();
    const cache = await caches.open(CACHE + version);
    if (!(await cache.match(SHELL))) {
      const read = await Promise.all(Object.entries(files).map(([name, sha256]) => readFile(name, sha256)));
      await Promise.all(read.map(([address, file]) => cache.put(address, file)));
      await cache.put(SHELL, list);
    }
    for (const name of await ourCaches()) if (name !== CACHE + version) await caches.delete(name);
  } catch (error) {
    console.info(`The page is not kept for a visit without its server: ${error.message}`);
  }
}

async function readFile(name, sha256) {
  const address = name === "index.html" ? ROOT : HERE + name;
  const response = await fetch(address, { cache: "no-cache" });
  const body = await response.arrayBuffer();
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", body));
  const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (!response.ok || hex !== sha256) throw new Error(`${name} is not the file that the server says`);
  const headers = new Headers(response.headers);
  headers.delete("content-encoding"); // it is decoded
  headers.delete("content-length");
  return [address, new Response(body, { headers })];
}

/** Another application answers at this address now: it shall find nothing of this one. */
async function leave() {
  for (const name of await ourCaches()) await caches.delete(name);
  await self.registration.unregister();
}
