// As much of a web page as polling with scripts and forms needs: scripts are fetched and run, forms are sent the way a
// browser sends them.

import vm from "node:vm";

class Element {
  style = {};
  children = [];
  constructor(tag) {
    this.tag = tag;
  }
  setAttribute() {}
  appendChild(child) {
    child.parentNode = this;
    this.children.push(child);
    child.added?.();
  }
  removeChild(child) {
    this.children.splice(this.children.indexOf(child), 1);
    child.abort?.();
    child.parentNode = null;
  }
}

// installPage makes globals of a page. Its scripts are those that the server sent; it is busy while requests run.
export function installPage() {
  const scripts = [];
  const pending = new Set();

  class Script extends Element {
    #controller = new AbortController();
    async added() {
      pending.add(this);
      try {
        const response = await fetch(this.src, { signal: this.#controller.signal });
        const text = await response.text();
        if (!response.ok) throw new Error(text);
        scripts.push(text);
        vm.runInThisContext(text);
      } catch (error) {
        if (this.parentNode) this.onerror(error);
      } finally {
        pending.delete(this);
      }
    }
    abort() {
      if (pending.has(this)) this.#controller.abort();
    }
  }

  class Form extends Element {
    async submit() {
      const area = this.children.find((c) => c.tag === "textarea");
      const iframe = this.children.find((c) => c.tag === "iframe");
      // Line breaks in forms are always CR LF.
      const body = new URLSearchParams([[area.name, area.value.replace(/\r\n|\r|\n/g, "\r\n")]]);
      pending.add(this);
      await fetch(this.action, { method: "POST", body }).then((r) => r.text(), () => {});
      iframe.onload?.();
      pending.delete(this);
    }
  }

  const body = new Element("body");
  globalThis.document = {
    head: new Element("head"),
    body,
    createElement(tag) {
      if (!/^\w+$/.test(tag)) throw new Error("no such element");
      return tag === "script" ? new Script(tag) : tag === "form" ? new Form(tag) : new Element(tag);
    },
    getElementsByTagName: () => [],
  };
  return { scripts, busy: () => pending.size > 0, remove: () => delete globalThis.document };
}
