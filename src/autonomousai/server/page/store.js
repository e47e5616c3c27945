// Where conversations are kept: in this browser, in IndexedDB. Other tabs hear of changes. Knows nothing of what it keeps but
// an id. Where the browser keeps nothing (a private window may not), it says so once, and the page goes on without.

const NAME = "autonomousai";
const STORE = "conversations";

export class Store {
  #database = null;
  #tabs = new BroadcastChannel(NAME);

  /** `onChange(id)`: another tab has put or removed a conversation. */
  constructor(onChange) {
    this.#tabs.onmessage = ({ data }) => onChange(data);
  }

  /** Open it, and return all conversations. Throws what the browser says where it keeps nothing. */
  async open() {
    const opening = indexedDB.open(NAME, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE, { keyPath: "id" });
    this.#database = await finished(opening);
    return finished(this.#objects("readonly").getAll());
  }

  async get(id) {
    return this.#database && finished(this.#objects("readonly").get(id));
  }

  async put(conversation) {
    if (!this.#database) return;
    await finished(this.#objects("readwrite").put(conversation));
    this.#tabs.postMessage(conversation.id);
  }

  async remove(id) {
    if (!this.#database) return;
    await finished(this.#objects("readwrite").delete(id));
    this.#tabs.postMessage(id);
  }

  #objects(mode) {
    return this.#database.transaction(STORE, mode).objectStore(STORE);
  }
}

function finished(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
