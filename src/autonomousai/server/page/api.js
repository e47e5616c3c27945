// The server's wire, as the page calls it. Knows the key, and what an error looks like; not what an answer says.
//
// The key lives in this tab alone: sessionStorage outlives a reload, and no other tab or later visit sees it.

import { ToldError } from "./answer.js";

const ROOT = new URL("../v1/", import.meta.url); // this file is ROOT/page/api.js, wherever the server is mounted
const KEY = "autonomousai.key";

/** No connection, or it broke: nobody has said anything. */
export class LostError extends Error {}

export const key = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

/** The models, each `{id, aliases, vision}`, and a `description` where others answer in its place. */
export async function models() {
  const response = await call("models");
  return (await documentOf(response)).data;
}

/** Ask; the answer is a stream of events, and can be followed by the id in its header `x-stream-id`. */
export function ask(request, signal) {
  const headers = { "content-type": "application/json", "x-stream-resumable": "1" };
  return call("chat/completions", { method: "POST", headers, body: JSON.stringify(request), signal });
}

/** Read a stream on after its event `last`. */
export function follow(id, last, signal) {
  return call(`streams/${encodeURIComponent(id)}`, { headers: last ? { "last-event-id": last } : {}, signal });
}

/** Let a stream go, and with it its generation. That it is gone already is as good. */
export async function drop(id) {
  try {
    await call(`streams/${encodeURIComponent(id)}`, { method: "DELETE", keepalive: true });
  } catch (error) {
    if (!(error instanceof ToldError || error instanceof LostError)) throw error;
  }
}

async function call(path, { headers = {}, ...options } = {}) {
  const bearer = key.get();
  const all = bearer ? { ...headers, authorization: `Bearer ${bearer}` } : headers;
  let response;
  try {
    response = await fetch(new URL(path, ROOT), { ...options, headers: all, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new LostError(error.message);
  }
  if (!response.ok) throw new ToldError(await told(response));
  return response;
}

/** What an answer of 400 or above says: `{status, code, message, retryAfter}`. */
async function told(response) {
  const body = await response.json().catch(() => null); // a proxy between us may answer in HTML
  const { code = null, message = `the server answered ${response.status}` } = Object(body?.error);
  const retryAfter = Number(response.headers.get("retry-after")) || null;
  return { status: response.status, code, message, retryAfter };
}

async function documentOf(response) {
  try {
    return await response.json();
  } catch (error) {
    throw new LostError(error.message);
  }
}
