// Where conversations are kept: in this browser, in IndexedDB. Other tabs hear of changes. Knows nothing of what it keeps but
// an id. Where the browser keeps nothing (a private window may not) or not at present, it throws, and the page goes on without.

const NAME = "autonomousai";
const STORE = "conversations";

/** Milliseconds after which a browser that neither opens the database nor refuses to is one that keeps nothing. */
const PATIENCE = 10_000;

export class Store {
  #database = null;
  #tabs = null;

  /** `onChange(id)`: another tab has put or removed a conversation. */
  constructor(onChange) {
    try {
      this.#tabs = new BroadcastChannel(NAME);
      this.#tabs.onmessage = ({ data }) => onChange(data);
    } catch (error) {
      console.info(`other tabs are not heard: ${error.message}`);
    }
  }

  /** Open it, and return all conversations. Throws what the browser says where it keeps nothing. */
  async open() {
    await this.#connect();
    return finished(this.#objects("readonly").getAll());
  }

  async get(id) {
    return this.#database && finished(this.#objects("readonly").get(id));
  }

  /** Throws what the browser says where it cannot be kept; `QuotaExceededError` where there is no room. */
  async put(conversation) {
    await this.#write((objects) => objects.put(conversation));
    this.#tabs?.postMessage(conversation.id);
  }

  async remove(id) {
    await this.#write((objects) => objects.delete(id));
    this.#tabs?.postMessage(id);
  }

  /** It is written when the transaction is complete, not before. A database that the browser closed meanwhile is opened again. */
  async #write(change) {
    if (!this.#database) await this.#connect();
    const objects = this.#objects("readwrite");
    const { transaction } = objects;
    const done = new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error ?? new Error("it was given up"));
    });
    change(objects);
    await done;
  }

  async #connect() {
    const opening = indexedDB.open(NAME, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE, { keyPath: "id" });
    const database = await Promise.race([finished(opening), tooLate()]);
    database.onversionchange = () => database.close(); // a newer page in another tab does not wait for this one
    database.onclose = () => (this.#database = null);
    this.#database = database;
  }

  #objects(mode) {
    try {
      return this.#database.transaction(STORE, mode).objectStore(STORE);
    } catch (error) {
      this.#database = null; // it is opened again the next time
      throw error;
    }
  }
}

const tooLate = () => new Promise((_, reject) => setTimeout(() => reject(new Error("it does not answer")), PATIENCE));

function finished(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
