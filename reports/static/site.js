/* Sorts, filters and folds what the page already says, and keeps the state in its address. No number is read or made
   here: rows are put in the order that data-o gives them, column by column. Without this script the page is complete. */
"use strict";

(() => {
  const root = document.documentElement;
  root.classList.add("js");

  // --- theme: what was chosen last, else what the system says -------------------------------------------------

  const THEME = "evalkit-theme";
  const dark = matchMedia("(prefers-color-scheme: dark)");

  function remembered() {
    try {
      const theme = localStorage.getItem(THEME);
      return theme === "light" || theme === "dark" ? theme : null;
    } catch {
      return null;
    }
  }

  function remember(theme) {
    try {
      localStorage.setItem(THEME, theme);
    } catch {
      // A page that may store nothing still has its theme until it is left.
    }
  }

  if (remembered()) root.dataset.theme = remembered();

  function themeSwitch(button) {
    const name = () => {
      const isDark = root.dataset.theme ? root.dataset.theme === "dark" : dark.matches;
      button.textContent = isDark ? "Light" : "Dark";
      button.setAttribute("aria-label", `Switch to the ${isDark ? "light" : "dark"} theme`);
      return isDark;
    };
    button.addEventListener("click", () => {
      root.dataset.theme = name() ? "light" : "dark";
      remember(root.dataset.theme);
      name();
    });
    dark.addEventListener("change", name);
    name();
    button.hidden = false;
  }

  // --- state in the address: #<list>.<what>=<value>&… ---------------------------------------------------------
  // Where the address names a place of the page instead, such as a footnote, the browser's history keeps the state.

  const isState = () => location.hash.includes("=");
  const written = () => (isState() ? location.hash.slice(1) : history.state || "");

  function readState() {
    const states = new Map();
    for (const [name, value] of new URLSearchParams(written())) {
      const dot = name.lastIndexOf(".");
      const list = name.slice(0, dot);
      if (!states.has(list)) states.set(list, new Map());
      states.get(list).set(name.slice(dot + 1), value);
    }
    return states;
  }

  function asText(lists) {
    const found = new URLSearchParams();
    for (const list of lists) for (const [name, value] of list.state) found.set(`${list.id}.${name}`, value);
    return found.toString();
  }

  let wasTyping = false;

  /** A change is a step that back undoes; a word that is typed is one step, not one for each letter. */
  function writeState(lists, typing) {
    const text = asText(lists);
    if (text !== written()) history[typing && wasTyping ? "replaceState" : "pushState"](null, "", `#${text}`);
    wasTyping = typing;
  }

  /** A link to a place of the page is a new step: it takes the state along that the page is in. */
  function keepState(lists) {
    if (location.hash && !isState() && history.state === null) history.replaceState(asText(lists), "");
  }

  // --- a list: the rows of a table, or the samples of a page --------------------------------------------------

  const AT_ONCE = 60; // rows

  class List {
    constructor(element, changed) {
      this.element = element;
      this.id = element.id;
      this.changed = changed;
      this.state = new Map();
      this.isTable = element.tagName === "TABLE";
      this.body = this.isTable ? element.tBodies[0] : element;
      this.items = [...this.body.children];
      this.shown = this.items.length;
      this.form = document.querySelector(`form.tools[data-for="${CSS.escape(this.id)}"]`);
      this.status = document.querySelector(`[data-status="${CSS.escape(this.id)}"]`);
      this.heads = this.isTable ? [...element.tHead.rows[element.tHead.rows.length - 1].cells] : [];
      this.order = null;
      for (const [column, head] of this.heads.entries()) this.sortable(head, column);
      for (const head of this.isTable ? element.querySelectorAll("th[data-folds]") : []) this.foldable(head);
      if (this.form) this.tools();
    }

    sortable(head, column) {
      if (!head.dataset.first) return;
      head.column = column;
      const label = head.querySelector(".head");
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      const text = document.createElement("span");
      text.append(...label.childNodes);
      button.append(text);
      label.append(button);
      button.addEventListener("click", () => {
        const { column: name, first } = head.dataset;
        const [sorted, direction] = (this.state.get("sort") || "").split(":");
        const second = first === "desc" ? "asc" : "desc";
        const next = sorted !== name ? first : direction === first ? second : null;
        this.set("sort", next ? `${name}:${next}` : "");
      });
    }

    foldable(head) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "fold";
      button.addEventListener("click", () => {
        const open = this.open();
        if (!open.delete(head.dataset.section)) open.add(head.dataset.section);
        this.set("open", this.sections().filter((name) => open.has(name)).join("~"));
      });
      head.firstElementChild.append(button);
    }

    sections() {
      return [...this.element.querySelectorAll("th[data-folds]")].map((head) => head.dataset.section);
    }

    open() {
      return new Set((this.state.get("open") || "").split("~").filter((name) => this.sections().includes(name)));
    }

    tools() {
      this.form.hidden = false;
      this.form.addEventListener("submit", (event) => event.preventDefault());
      for (const control of this.form.querySelectorAll("select, input"))
        control.addEventListener(control.type === "search" ? "input" : "change", () =>
          this.set(control.name, control.value, control.type === "search"),
        );
      const actions = {
        heat: () => this.set("heat", this.state.has("heat") ? "" : "1"),
        fold: () => this.set("open", this.open().size === this.sections().length ? "" : this.sections().join("~")),
        reset: () => {
          this.state.clear();
          this.show();
          this.changed(false);
        },
      };
      for (const button of this.form.querySelectorAll("button[data-do]"))
        button.addEventListener("click", actions[button.dataset.do]);
    }

    set(name, value, typing = false) {
      if (value) this.state.set(name, value);
      else this.state.delete(name);
      this.show();
      this.changed(typing);
    }

    /** Take over the state of an address. What nothing in the form can say or undo is no part of it. */
    take(state) {
      const knows = (control, value) => !control.options || [...control.options].some((one) => one.value === value);
      const controls = [...(this.form?.querySelectorAll("select, input") || [])];
      for (const [name, value] of state) {
        if (["sort", "open", "heat"].includes(name)) continue;
        if (!controls.some((control) => control.name === name && knows(control, value))) state.delete(name);
      }
      this.state = state;
      this.show();
    }

    /** Make the page look as the state says. What the state does not know is left as it was written. */
    show() {
      this.sort();
      this.filter();
      if (this.isTable) this.fold();
      this.element.classList.toggle("heat", this.state.has("heat"));
      if (!this.form) return;
      for (const control of this.form.querySelectorAll("select, input")) {
        const value = this.state.get(control.name) || "";
        if (control.value !== value) control.value = value;
      }
      this.form.querySelector('[data-do="heat"]')?.setAttribute("aria-pressed", this.state.has("heat"));
    }

    sort() {
      const [name, direction] = (this.state.get("sort") || "").split(":");
      const head = this.heads.find((one) => one.dataset.column === name && one.dataset.first);
      for (const one of this.heads) one.removeAttribute("aria-sort");
      if (head) head.setAttribute("aria-sort", direction === "asc" ? "ascending" : "descending");
      const wanted = head ? `${name}:${direction}` : null;
      if (wanted === this.order) return;
      this.order = wanted;
      let rows = this.items;
      if (head) {
        const sign = direction === "asc" ? 1 : -1;
        const keyed = rows.map((row) => [row, row.cells[head.column].dataset.o]);
        // A number that is not there is last either way; equal ones stay in the order of the page.
        const there = keyed.filter(([, place]) => place !== undefined).sort((a, b) => sign * (a[1] - b[1]));
        const missing = keyed.filter(([, place]) => place === undefined);
        rows = [...there, ...missing].map(([row]) => row);
      }
      this.place(rows);
    }

    /** Put rows in order: those that fill a screen at once, so that a press is answered soon, the others after it. */
    place(rows) {
      clearTimeout(this.pending);
      this.element.removeAttribute("aria-busy");
      this.body.prepend(...rows.slice(0, AT_ONCE));
      if (rows.length <= AT_ONCE) return;
      this.element.setAttribute("aria-busy", "true");
      this.pending = setTimeout(() => {
        this.body.append(...rows.slice(AT_ONCE));
        this.element.removeAttribute("aria-busy");
      }, 20);
    }

    filter() {
      const words = (this.state.get("q") || "").toLowerCase().split(/\s+/).filter(Boolean);
      const tests = [...(this.form?.querySelectorAll("select") || [])]
        .map((control) => [control.name, this.state.get(control.name)])
        .filter(([, value]) => value);
      this.shown = 0;
      for (const item of this.items) {
        const text = words.length ? this.text(item) : "";
        const fits =
          words.every((word) => text.includes(word)) &&
          tests.every(([name, value]) => (item.dataset[name] || "").split(" ").includes(value));
        item.hidden = !fits;
        this.shown += fits;
      }
      if (!this.status) return;
      const all = this.items.length;
      const { one, many } = this.status.dataset;
      const kept = this.isTable ? " Means, ranks and marks are those of the whole table." : "";
      const said =
        words.length || tests.length
          ? `Filtered: ${this.shown} of ${all} ${all === 1 ? one : many}.${kept}`
          : `${all} ${all === 1 ? one : many}`;
      if (this.status.textContent !== said) this.status.textContent = said;
    }

    text(item) {
      item.found ??= (this.isTable ? item.querySelector("th") : item).textContent.toLowerCase();
      return item.found;
    }

    fold() {
      const open = this.open();
      for (const head of this.element.querySelectorAll("th[data-folds]")) {
        const isOpen = open.has(head.dataset.section);
        const button = head.querySelector("button.fold");
        this.element.classList.toggle(`open-${head.dataset.section}`, isOpen);
        head.colSpan = isOpen ? head.dataset.columns : head.dataset.folded;
        button.textContent = isOpen ? "−" : `+${head.dataset.columns - head.dataset.folded}`;
        button.setAttribute("aria-expanded", isOpen);
        const name = head.textContent.replace(button.textContent, "").trim();
        button.setAttribute("aria-label", `${button.textContent} tasks of ${name}`); // who speaks to it says what is seen
      }
      const all = this.form?.querySelector('[data-do="fold"]');
      if (all) all.setAttribute("aria-pressed", open.size === this.sections().length);
    }
  }

  function copyable(block) {
    if (!navigator.clipboard) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(block.textContent);
        button.textContent = "Copied";
      } catch {
        button.remove();
      }
    });
    block.after(button);
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("[data-theme-switch]").forEach(themeSwitch);
    document.querySelectorAll("[data-copy]").forEach(copyable);
    const lists = [...document.querySelectorAll("table.grid, [data-list]")].map(
      (element) => new List(element, (typing) => writeState(lists, typing)),
    );
    const arrive = () => {
      wasTyping = false;
      keepState(lists);
      const states = readState();
      for (const list of lists) list.take(states.get(list.id) || new Map());
    };
    arrive();
    // Back and forward, a link to a place of the page, and an address that somebody wrote.
    addEventListener("popstate", arrive);
    addEventListener("hashchange", arrive);
  });
})();
