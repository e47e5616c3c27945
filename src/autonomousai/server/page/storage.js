// Where the page keeps small things, localStorage and sessionStorage, works in every browser: where the reader lets no page keep
// anything, or all room is taken, they last until the page is left. A classic script, read before all others.

class MemoryStorage {
  getItem(name) {
    return Object.hasOwn(this, name) ? this[name] : null;
  }
  setItem(name, value) {
    this[name] = String(value);
  }
  removeItem(name) {
    delete this[name];
  }
}

for (const name of ["localStorage", "sessionStorage"]) {
  try {
    globalThis[name].getItem(name); // where it is blocked, asking for it throws
  } catch {
    Object.defineProperty(globalThis, name, { value: new MemoryStorage(), configurable: true });
  }
}

const setItem = Storage.prototype.setItem;
Storage.prototype.setItem = function (name, value) {
  try {
    setItem.call(this, name, value);
  } catch (error) {
    console.info(`${name} is not kept: ${error.message}`); // it is a comfort, and no reason to stop
  }
};
