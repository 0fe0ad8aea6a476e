// Choosing a new label: a class from a list filtered as one types, several, or what the label's kind asks for.
(function (hs) {
  const MOST = 60; // classes shown at once

  // Labels a sample may get, likeliest first and without its own: [{name, share}].
  hs.likeliest = (store, row, suggested = "") => {
    const { model } = store;
    const found = new Map();
    const add = (name, share) =>
      name && name !== model.label(row) && !found.has(name) && found.set(name, { name, share });
    add(suggested, NaN);
    for (const run of model.runs) for (const { name, share } of run.ranking(run.placeOf(row))) add(name, share);
    for (const { row: near } of model.neighbours(row)) add(hs.decidedLabel(store, near) || model.label(near), NaN);
    return [...found.values()].filter(({ share }, place) => place < 3 || !(share < 0.002)).slice(0, 9);
  };

  // The new label that the user gave a sample, or "".
  hs.decidedLabel = (store, row) => {
    const decision = store.decisions.get(row);
    return decision && decision.action === "relabel" ? decision.label : "";
  };

  // The classes of the set, and behind them those that the user has brought so far.
  hs.knownClasses = (store) => {
    const brought = [...store.decisions.byRow.keys()].map((row) => hs.decidedLabel(store, row)).filter(Boolean);
    return [...new Set([...hs.classNames(store.model), ...brought])];
  };

  hs.classNames = (model) => (model.labelInfo && model.labelInfo.names) || [];

  // A problem with a label as text, or "".
  hs.labelProblem = (model, text) => {
    const { kind } = model.labelInfo;
    if (!text.length) return "A new label is missing.";
    if (kind === "regression")
      return text.trim() && Number.isFinite(Number(text)) ? "" : "A number is needed, such as 3.5.";
    if (["multi", "tags", "spans"].includes(kind)) return isJson(text) ? "" : 'JSON is needed, such as ["a", "b"].';
    return "";
  };

  function isJson(text) {
    try {
      return typeof JSON.parse(text) === "object";
    } catch {
      return false;
    }
  }

  // The control that fits the label's kind; `take(text)` gets the new label, `leave()` none.
  hs.relabel = (store, row, { suggested = "", take, leave }) => {
    const { kind } = store.model.labelInfo;
    const names = hs.classNames(store.model);
    if (kind === "single") return new ClassPicker(store, row, suggested, take, leave);
    if (kind === "multi" && names.length) return new SetPicker(store, row, suggested, take, leave);
    return new TextPicker(store, row, suggested, take, leave);
  };

  // A combobox after the ARIA authoring practices: focus stays in the field, arrows move along the list.
  class ClassPicker {
    constructor(store, row, suggested, take, leave) {
      Object.assign(this, { take, leave, label: store.model.label(row), active: 0 });
      const likely = hs.likeliest(store, row, suggested);
      const first = new Set(likely.map(({ name }) => name));
      this.all = [
        ...likely,
        ...hs
          .knownClasses(store)
          .filter((name) => !first.has(name) && name !== this.label)
          .map((name) => ({ name, share: NaN })),
      ];
      this.known = new Set([...this.all.map(({ name }) => name), this.label]);
      this.list = hs.h("ul", { role: "listbox", id: hs.newId("classes"), "aria-label": "Classes" });
      this.input = hs.h("input", {
        type: "text",
        role: "combobox",
        autocomplete: "off",
        spellcheck: "false",
        dir: "auto",
        "aria-label": "New label",
        "aria-expanded": "true",
        "aria-controls": this.list.id,
        "aria-autocomplete": "list",
        placeholder: "Type to filter, Enter takes it",
        on: { input: () => this.filter(), keydown: (event) => this.press(event) },
      });
      this.element = hs.h("div", { class: "picker" }, this.input, this.list);
      this.filter();
    }

    filter() {
      const typed = this.input.value.trim().toLowerCase();
      const found = this.all.filter(({ name }) => name.toLowerCase().includes(typed));
      const isMeant = ({ name }) => name.toLowerCase() === typed; // whose whole name was typed stands before longer ones
      found.sort((a, b) => isMeant(b) - isMeant(a));
      this.options = found.slice(0, MOST);
      const isNew = typed && !this.known.has(this.input.value.trim());
      if (isNew) this.options.push({ name: this.input.value.trim(), share: NaN, isNew });
      this.active = 0;
      this.hidden = found.length - MOST;
      this.draw();
    }

    draw() {
      hs.replace(
        this.list,
        this.options.map((option, place) =>
          hs.h(
            "li",
            {
              role: "option",
              id: `${this.list.id}-${place}`,
              "aria-selected": String(place === this.active),
              class: place === this.active ? "active" : null,
              on: { pointerdown: (event) => event.preventDefault(), click: () => this.take(option.name) },
            },
            hs.h("span", {}, option.isNew ? "New class: " : null, hs.name(option.name, 60)),
            Number.isNaN(option.share) ? null : hs.h("span", { class: "figures muted" }, hs.share(option.share)),
          ),
        ),
        this.hidden > 0
          ? hs.h("li", { class: "muted", role: "presentation" }, `${hs.count(this.hidden)} more: type to find them`)
          : null,
      );
      if (this.options.length) this.input.setAttribute("aria-activedescendant", `${this.list.id}-${this.active}`);
      else this.input.removeAttribute("aria-activedescendant");
      const shown = this.list.children[this.active];
      if (shown) this.list.scrollTop = Math.max(0, shown.offsetTop - this.list.clientHeight / 2);
    }

    press(event) {
      const moves = { ArrowDown: 1, ArrowUp: -1 };
      if (event.key in moves && this.options.length) {
        event.preventDefault();
        this.active = (this.active + moves[event.key] + this.options.length) % this.options.length;
        this.draw();
      } else if (event.key === "Enter" && this.options[this.active]) {
        event.preventDefault();
        this.take(this.options[this.active].name);
      } else if (event.key === "Escape") {
        event.stopPropagation();
        this.leave();
      }
    }

    focus() {
      this.input.focus();
    }
  }

  // Any number of classes, as a JSON list.
  class SetPicker {
    constructor(store, row, suggested, take, leave) {
      Object.assign(this, { names: hs.classNames(store.model), take, leave });
      this.chosen = new Set(hs.listedLabels(suggested) || hs.listedLabels(store.model.label(row)) || []);
      this.box = hs.h("div", { class: "checks", role: "group", "aria-label": "Labels" });
      this.input = hs.h("input", {
        type: "text",
        autocomplete: "off",
        "aria-label": "Filter the labels",
        placeholder: "Type to filter",
        on: { input: () => this.draw() },
      });
      this.element = hs.h(
        "div",
        { class: "picker", on: { keydown: (event) => this.press(event) } },
        this.input,
        this.box,
        hs.button("Take these labels", () => this.done(), { class: "main" }),
        hs.button("Cancel", leave, { class: "quiet" }),
      );
      this.draw();
    }

    draw() {
      const typed = this.input.value.trim().toLowerCase();
      const found = this.names.filter((name) => name.toLowerCase().includes(typed));
      const ordered = [true, false].flatMap((isOn) => found.filter((name) => this.chosen.has(name) === isOn));
      const box = (name) =>
        hs.check(hs.name(name, 60), this.chosen.has(name), (isOn) => this.chosen[isOn ? "add" : "delete"](name));
      hs.replace(this.box, ordered.slice(0, MOST).map(box));
    }

    done() {
      this.take(JSON.stringify(this.names.filter((name) => this.chosen.has(name))));
    }

    press(event) {
      if (event.key === "Escape") {
        event.stopPropagation();
        this.leave();
      } else if (event.key === "Enter" && event.target.localName === "input") {
        event.preventDefault(); // a button presses itself
        this.done();
      }
    }

    focus() {
      this.input.focus();
    }
  }

  // A number, a text or JSON, as it is to be written.
  class TextPicker {
    constructor(store, row, suggested, take, leave) {
      const problem = hs.h("p", { class: "problem", role: "alert" });
      this.input = hs.h("textarea", { rows: 3, dir: "auto", "aria-label": "New label" });
      this.input.value = suggested || store.model.label(row);
      const done = () => {
        problem.textContent = hs.labelProblem(store.model, this.input.value);
        if (!problem.textContent) take(this.input.value);
      };
      this.input.addEventListener("keydown", (event) => {
        if (event.key === "Enter" && !event.shiftKey) {
          event.preventDefault();
          done();
        } else if (event.key === "Escape") {
          event.stopPropagation();
          leave();
        }
      });
      this.element = hs.h(
        "div",
        { class: "picker" },
        this.input,
        problem,
        hs.button("Take this label", done, { class: "main" }),
        hs.button("Cancel", leave, { class: "quiet" }),
      );
    }

    focus() {
      this.input.focus();
      this.input.select();
    }
  }
})(headstart);
